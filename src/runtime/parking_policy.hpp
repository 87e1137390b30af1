#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace penstock {

/// Which instances of a stage are sent payloads: as few as are needed for each to be busy for no more than the target's
/// share of its time, and the fastest of them. It parks slowly and unparks at once, and waits longer after a change
/// that it had to take back. A value; knows nothing of channels.
class ParkingPolicy {
public:
    /// What one instance did since the last look.
    struct Load {
        double busy = 0;             ///< Share of the time that it was inside its operator, 0 to 1.
        double busy_s = 0;           ///< The same in seconds.
        std::uint64_t payloads = 0;  ///< That it was through with.
    };
    struct Decision {
        std::vector<std::size_t> instances;  ///< Empty if nothing is to change.
        bool parks = false;
        std::string reason = {};
    };

    /// @param target  0 to 1; 0 parks nobody.
    ParkingPolicy(std::size_t instances, double target);

    /// @param loads  By instance. What it decides counts from now on.
    /// @param starves  Payloads wait that no active instance takes.
    [[nodiscard]] Decision look(const std::vector<Load>& loads, bool starves = false);

    [[nodiscard]] bool is_parked(std::size_t instance) const noexcept { return parked_[instance]; }
    /// Its payloads per busy second as a share of the fastest one's; 1 while nobody knows.
    [[nodiscard]] double weight(std::size_t instance) const noexcept;

private:
    void learn(const std::vector<Load>& loads);
    [[nodiscard]] Decision change(std::size_t count, bool parks, std::string reason);

    double target_;
    /// Of an instance, what it did lately counting most.
    struct Record {
        double payloads = 0;
        double busy_s = 0;

        /// Payloads per busy second; 0 if unknown.
        [[nodiscard]] double rate() const noexcept;
    };

    std::vector<Record> records_;  // by instance
    std::vector<bool> parked_;
    std::size_t active_;
    int calm_ = 0;                ///< Looks in a row at which fewer would have sufficed.
    int patience_ = 4;            ///< How many of those it takes.
    int since_parked_ = 1 << 20;  ///< Looks.
};

}  // namespace penstock
