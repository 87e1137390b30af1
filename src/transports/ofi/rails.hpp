#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "memory/arena.hpp"
#include "transports/ofi/endpoint.hpp"
#include "transports/ofi/hello.hpp"
#include "transports/ofi/provider.hpp"
#include "transports/ofi/settings.hpp"

namespace penstock::ofi {

inline constexpr std::size_t most_rails = 16;

/// One of the ways between two processes: an endpoint of a device of which there may be several.
struct Rail {
    Device* device = nullptr;
    const Region* arena = nullptr;  ///< Ours, registered with that device.
    Endpoint* endpoint = nullptr;
};

/// The offers that rails go over, one for each rail; one that is there several times is a device with as many
/// endpoints. The first has the frames. Of several devices on one network, those near to the process come first, and no
/// others are taken unless more rails are asked for.
/// @param sys   /sys, or what a test puts there.
/// @param near  The NUMA nodes that this process runs on.
/// @return none if nothing fits. @throws Error{unsupported} that names the setting that cannot be followed.
[[nodiscard]] std::vector<std::size_t> choose_rails(const std::vector<Offer>& offers, std::string_view provider,
                                                    const Wishes& wishes, const std::filesystem::path& sys,
                                                    const std::vector<int>& near);

/// The NUMA nodes of the processors that this process may run on. @param sys  As above.
[[nodiscard]] std::vector<int> own_numa_nodes(const std::filesystem::path& sys);

/// Which of its rails each rank uses, by rank; the same number for all. First rails are joined whatever their networks
/// are called, further ones where everybody has one on the network of that name.
[[nodiscard]] std::vector<std::vector<std::size_t>> common_rails(const std::vector<Hello>& hellos);

/// Devices and their endpoints, open.
class Rails {
public:
    Rails() = default;
    /// @param infos  One for each rail. @throws Error{unsupported}
    Rails(const std::vector<const fi_info*>& infos, const std::string& provider, const Arena& arena,
          const Limits& limits);

    [[nodiscard]] const Hello& hello() const noexcept { return hello_; }
    /// Leaves those of the indices, and makes them known to each other. @param chosen  By rank.
    void join(const std::vector<Hello>& hellos, const std::vector<std::vector<std::size_t>>& chosen, Rank self);
    [[nodiscard]] const std::vector<Rail>& all() const noexcept { return rails_; }
    /// By rail, then by rank.
    [[nodiscard]] const RemoteArenas& arenas() const noexcept { return arenas_; }
    /// How often memory was registered.
    [[nodiscard]] std::uint64_t registrations() const noexcept;
    /// Before the memory that they may still write to. Nothing may be sent any more.
    void close() noexcept { endpoints_.clear(); }

private:
    struct Nic {
        const fi_info* info = nullptr;  ///< Which it was made of.
        std::unique_ptr<Device> device;
        Region arena;
    };

    [[nodiscard]] Nic& nic_of(const fi_info* info, const std::string& provider, const Arena& arena,
                              const Limits& limits);

    // What libfabric has addresses of is closed after the endpoints.
    std::vector<std::unique_ptr<Nic>> nics_;
    std::vector<std::unique_ptr<Endpoint>> endpoints_;
    std::vector<Rail> rails_;
    RemoteArenas arenas_;
    Hello hello_;
};

}  // namespace penstock::ofi
