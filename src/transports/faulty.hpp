#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <vector>

#include "base/clock.hpp"
#include "transports/transport.hpp"

namespace penstock {

/// What happens to arriving frames. Chances are from 0 to 1 and are drawn for each peer from its own sequence, so that
/// a seed and a peer's frames decide what happens to them.
struct Faults {
    double drop = 0;
    double truncate = 0;  ///< To a shorter length, at least one byte.
    double duplicate = 0;
    double swap = 0;  ///< With the peer's next frame, if one comes within `Faulty::longest_swap`.
    /// Each frame is held back for a time between zero and this. Frames of one peer stay in order, those of several do
    /// not.
    std::chrono::microseconds delay{0};
    std::uint64_t seed = 1;
};

/// Any transport, with faults on its receiving side. With `delay` alone it keeps the contract of a transport.
class Faulty final : public Transport, private TransportEvents {
public:
    static constexpr std::chrono::milliseconds longest_swap{20};

    Faulty(std::unique_ptr<Transport> inner, const Faults& faults) : inner_{std::move(inner)}, faults_{faults} {}

    [[nodiscard]] std::string_view name() const noexcept override { return inner_->name(); }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return inner_->capabilities(); }
    void connect(Rank peer) override { inner_->connect(peer); }
    void forget(Rank peer) override { inner_->forget(peer); }
    [[nodiscard]] std::span<std::byte> reserve(Rank peer, std::size_t bytes) override {
        return inner_->reserve(peer, bytes);
    }
    void commit(Rank peer) override { inner_->commit(peer); }
    void flush() override { inner_->flush(); }
    [[nodiscard]] bool drained() const override { return inner_->drained(); }
    std::size_t poll(TransportEvents& events) override;
    void wait(std::chrono::nanoseconds timeout) override;
    void wake() noexcept override { inner_->wake(); }
    [[nodiscard]] int arm(std::chrono::nanoseconds& timeout) override;
    void disarm() override { inner_->disarm(); }
    [[nodiscard]] const std::byte* map(const BlobRef& blob) override { return inner_->map(blob); }
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) override {
        inner_->fetch(blob, into, token);
    }
    [[nodiscard]] Thresholds thresholds() const noexcept override { return inner_->thresholds(); }
    void use(const Thresholds& thresholds) override { inner_->use(thresholds); }

private:
    struct Held {
        std::vector<std::byte> bytes;
        SteadyClock::time_point due;
    };
    struct Stream {
        std::mt19937_64 random;
        std::deque<Held> held;   ///< In the order of delivery.
        bool swap_last = false;  ///< The last one waits for the next frame, to go after it.
    };

    void on_frame(Rank from, std::span<const std::byte> frame) override;
    void on_fetched(std::uint64_t token, std::string_view error) override;
    void on_lost(Rank peer, std::string_view reason) override;

    void shorten(std::chrono::nanoseconds& timeout) const;
    [[nodiscard]] Stream& stream_of(Rank peer);
    void hold(Stream& stream, std::vector<std::byte> bytes);
    void deliver(SteadyClock::time_point until);

    std::unique_ptr<Transport> inner_;
    Faults faults_;
    std::map<Rank, Stream> streams_;
    // During `poll`:
    TransportEvents* events_ = nullptr;
    std::size_t passed_on_ = 0;
};

}  // namespace penstock
