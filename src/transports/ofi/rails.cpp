#include "transports/ofi/rails.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <utility>

#include "base/cores.hpp"
#include "transports/interfaces.hpp"
#include "transports/ofi/wire.hpp"

namespace penstock::ofi {
namespace {

/// How many the user asks for; 0 is as many as are good.
[[nodiscard]] std::size_t wanted_rails(const std::string& text) {
    if (text.empty()) return 0;
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error == std::errc{} && end == text.data() + text.size() && count >= 1 && count <= most_rails) return count;
    throw Error{Errc::unsupported,
                "PENSTOCK_OFI_RAILS is '" + text + "', not a number from 1 to " + std::to_string(most_rails)};
}

/// One endpoint of an EFA reaches about half of its line.
[[nodiscard]] std::size_t endpoints_for(std::string_view provider) noexcept {
    return provider == "efa" ? 2 : 1;
}

/// Interfaces of Ethernet are on networks for other purposes, too; RDMA devices are there for this.
[[nodiscard]] bool has_rdma_devices(std::string_view provider) noexcept {
    return provider.starts_with("efa") || provider.starts_with("verbs");
}

[[nodiscard]] std::vector<std::size_t> named_devices(const std::vector<Offer>& offers, std::string_view provider,
                                                     const std::vector<std::string>& names,
                                                     const std::filesystem::path& classes) {
    std::vector<std::size_t> devices;
    for (const std::string& name : names) {
        const std::size_t offer = best_offer(offers, provider, {.domain = name}, classes);
        if (offer == offers.size()) {
            throw Error{Errc::unsupported, "no device '" + name + "' (PENSTOCK_OFI_DOMAIN)"};
        }
        devices.push_back(offer);
    }
    return devices;
}

/// The best, and those on the same network that can do the same.
[[nodiscard]] std::vector<std::size_t> equal_devices(const std::vector<Offer>& offers, std::string_view provider,
                                                     const std::filesystem::path& classes) {
    const std::size_t best = best_offer(offers, provider, {}, classes);
    if (best == offers.size()) return {};
    std::vector<std::size_t> devices{best};
    for (std::size_t i = 0; i < offers.size(); ++i) {
        const Offer& offer = offers[i];
        const bool is_equal = offer.provider == provider && offer.fabric == offers[best].fabric &&
                              offer.caps == offers[best].caps && offer.is_ipv4 == offers[best].is_ipv4 &&
                              offer.domain != "lo" && !is_bridge(offer.domain, classes);
        const auto has_its_device = [&](std::size_t other) { return offers[other].domain == offer.domain; };
        if (is_equal && std::none_of(devices.begin(), devices.end(), has_its_device)) devices.push_back(i);
    }
    return devices;
}

[[nodiscard]] bool is_far(const Offer& offer, const std::filesystem::path& sys, const std::vector<int>& near) {
    if (offer.pci.empty() || near.empty()) return false;
    std::ifstream file{sys / "bus/pci/devices" / offer.pci / "numa_node"};
    int node = -1;
    return file >> node && node >= 0 && std::find(near.begin(), near.end(), node) == near.end();
}

}  // namespace

std::vector<std::size_t> choose_rails(const std::vector<Offer>& offers, std::string_view provider, const Wishes& wishes,
                                      const std::filesystem::path& sys, const std::vector<int>& near) {
    const std::size_t wanted = wanted_rails(wishes.rails);
    const std::vector<std::string> names = split_list(wishes.domain);
    std::vector<std::size_t> devices = names.empty() ? equal_devices(offers, provider, sys / "class")
                                                     : named_devices(offers, provider, names, sys / "class");
    if (devices.empty()) return {};
    if (names.empty()) {
        const auto far = std::stable_partition(devices.begin(), devices.end(),
                                               [&](std::size_t offer) { return !is_far(offers[offer], sys, near); });
        if (wanted == 0 && far != devices.begin()) devices.erase(far, devices.end());
        if (wanted == 0 && !has_rdma_devices(provider)) devices.resize(1);
    }
    const std::size_t count =
        std::min(most_rails, wanted != 0 ? wanted : devices.size() * endpoints_for(offers[devices[0]].provider));
    std::vector<std::size_t> rails;
    for (std::size_t i = 0; i < count; ++i) rails.push_back(devices[i % devices.size()]);
    return rails;
}

std::vector<int> own_numa_nodes(const std::filesystem::path& sys) {
    std::vector<int> nodes;
    const std::vector<int> cpus = usable_cpus();
    std::error_code error;
    for (int node = 0; std::filesystem::exists(sys / "devices/system/node" / ("node" + std::to_string(node)), error);
         ++node) {
        const auto folder = sys / "devices/system/node" / ("node" + std::to_string(node));
        const auto is_there = [&](int cpu) {
            return std::filesystem::exists(folder / ("cpu" + std::to_string(cpu)), error);
        };
        if (std::any_of(cpus.begin(), cpus.end(), is_there)) nodes.push_back(node);
    }
    return nodes;
}

std::vector<std::vector<std::size_t>> common_rails(const std::vector<Hello>& hellos) {
    std::vector<std::vector<std::size_t>> chosen(hellos.size(), {0});
    if (hellos.empty()) return chosen;
    const auto next_of = [&](std::size_t rank, const std::string& fabric) {
        const auto& rails = hellos[rank].rails;
        for (std::size_t i = 1; i < rails.size(); ++i) {
            const bool is_free = std::find(chosen[rank].begin(), chosen[rank].end(), i) == chosen[rank].end();
            if (is_free && rails[i].fabric == fabric) return i;
        }
        return rails.size();
    };
    for (std::size_t i = 1; i < hellos[0].rails.size(); ++i) {
        std::vector<std::size_t> found;
        for (std::size_t rank = 0; rank < hellos.size(); ++rank) {
            const std::size_t rail = next_of(rank, hellos[0].rails[i].fabric);
            if (rail == hellos[rank].rails.size()) break;
            found.push_back(rail);
        }
        if (found.size() != hellos.size()) continue;
        for (std::size_t rank = 0; rank < hellos.size(); ++rank) chosen[rank].push_back(found[rank]);
    }
    return chosen;
}

Rails::Nic& Rails::nic_of(const fi_info* info, const std::string& provider, const Arena& arena, const Limits& limits) {
    for (const auto& nic : nics_) {
        if (nic->info == info) return *nic;
    }
    Info copy{library().dupinfo(info)};
    if (!copy) throw Error{Errc::exhausted, "fi_dupinfo: no memory"};
    auto nic = std::make_unique<Nic>();
    nic->info = info;
    nic->device = std::make_unique<Device>(std::move(copy), provider, limits);
    nic->arena = nic->device->register_memory(arena.base(), arena.limit_bytes(), true);
    return *nics_.emplace_back(std::move(nic));
}

Rails::Rails(const std::vector<const fi_info*>& infos, const std::string& provider, const Arena& arena,
             const Limits& limits) {
    const auto base = reinterpret_cast<std::uintptr_t>(arena.base());
    hello_.window = limits.window;
    hello_.reads = true;
    for (const fi_info* info : infos) {
        const Nic& nic = nic_of(info, provider, arena, limits);
        Endpoint& endpoint = *endpoints_.emplace_back(std::make_unique<Endpoint>(*nic.device));
        rails_.push_back({.device = nic.device.get(), .arena = &nic.arena, .endpoint = &endpoint});
        const std::size_t message_bytes = Wire::message_bytes(*nic.device);
        hello_.message_bytes =
            rails_.size() == 1 ? message_bytes : std::min<std::uint64_t>(hello_.message_bytes, message_bytes);
        hello_.reads = hello_.reads && endpoint.reads_natively();
        const char* fabric = info->fabric_attr->name;
        hello_.rails.push_back({.arena = {.begin = nic.device->by_address() ? base : 0,
                                          .key = nic.arena.key(),
                                          .bytes = arena.limit_bytes()},
                                .fabric = fabric == nullptr ? "" : fabric,
                                .address = endpoint.address()});
    }
}

void Rails::join(const std::vector<Hello>& hellos, const std::vector<std::vector<std::size_t>>& chosen, Rank self) {
    std::vector<Rail> rails;
    std::vector<std::unique_ptr<Endpoint>> endpoints;
    for (std::size_t i = 0; i < chosen[self].size(); ++i) {
        std::vector<std::string> addresses;
        std::vector<RemoteArena>& arenas = arenas_.emplace_back();
        for (std::size_t rank = 0; rank < hellos.size(); ++rank) {
            const HelloRail& theirs = hellos[rank].rails[chosen[rank][i]];
            addresses.push_back(theirs.address);
            arenas.push_back(theirs.arena);
        }
        rails.push_back(rails_[chosen[self][i]]);
        rails.back().endpoint->meet(addresses);
        endpoints.push_back(std::move(endpoints_[chosen[self][i]]));
    }
    rails_ = std::move(rails);
    endpoints_ = std::move(endpoints);  // those that nobody shares are closed
}

std::uint64_t Rails::registrations() const noexcept {
    std::uint64_t all = 0;
    for (const auto& nic : nics_) all += nic->device->registrations();
    return all;
}

}  // namespace penstock::ofi
