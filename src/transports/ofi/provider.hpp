#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "transports/ofi/handles.hpp"
#include "transports/ofi/settings.hpp"

namespace penstock::ofi {

/// What is known of a provider before it is opened.
struct Offer {
    std::string provider;  ///< As libfabric names it: "efa", "tcp;ofi_rxm", ...
    std::string domain;    ///< The device or network interface.
    bool is_ipv4 = false;
    std::uint64_t caps = 0;
    std::string fabric = {};  ///< The network.
    std::string pci = {};     ///< The device's address, as Linux writes it: "0000:10:1b.0"; empty if it has none.
};

[[nodiscard]] std::vector<Offer> offers_of(const Info& all);

/// What libfabric has here that sends messages between any two processes; no more than a useful provider with all that
/// it can do, if there is one.
[[nodiscard]] Info discover(const Wishes& wishes);

/// Whether the provider of that device also moves memory of devices there, as FI_HMEM. It is asked: nobody says so
/// unasked. Of which devices, libfabric only says when such memory is registered.
/// @param libfabric  Its `getinfo` and `dupinfo` are used.
[[nodiscard]] bool offers_device_memory(const fi_info& device, const Library& libfabric = library());

/// The providers that lead to other hosts, the best first; only the one that was asked for, if one was.
[[nodiscard]] std::vector<std::string> usable_providers(const std::vector<Offer>& offers, const Wishes& wishes);

/// Of the offers of one provider, the index of the best: the most capable one on a network that leads to other hosts.
/// Nothing fits: the number of offers.
/// @param classes  /sys/class, or what a test puts there.
[[nodiscard]] std::size_t best_offer(const std::vector<Offer>& offers, std::string_view provider, const Wishes& wishes,
                                     const std::filesystem::path& classes);

/// The words between the commas.
[[nodiscard]] std::vector<std::string> split_list(const std::string& list);

/// The providers that all ranks have, in the order of the first; the lists are separated by commas.
[[nodiscard]] std::vector<std::string> common_providers(const std::vector<std::string>& lists);

/// Whether a device reads remote memory without the remote processor, as far as the name of its provider says.
[[nodiscard]] bool may_read_natively(std::string_view provider) noexcept;

}  // namespace penstock::ofi
