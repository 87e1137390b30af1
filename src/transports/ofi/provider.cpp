#include "transports/ofi/provider.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <tuple>

#include <rdma/fi_errno.h>

#include "transports/interfaces.hpp"

namespace penstock::ofi {
namespace {

/// Those that lead to other hosts, the best first. "shm" does not, and "sockets" stalls.
constexpr std::array<std::string_view, 5> usual{"efa", "verbs;ofi_rxm", "verbs", "tcp;ofi_rxm", "tcp"};

[[nodiscard]] bool contains(const std::vector<std::string>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

/// Of the headers: with older ones EFA does not read by itself.
constexpr std::uint32_t version = FI_VERSION(FI_MAJOR_VERSION, FI_MINOR_VERSION);

/// What a provider must have to be of use.
[[nodiscard]] Info hints_for(std::uint64_t caps, const Library& libfabric) {
    Info hints{libfabric.dupinfo(nullptr)};  // which is fi_allocinfo
    if (!hints) throw Error{Errc::exhausted, "fi_allocinfo: no memory"};
    hints.get()->caps = caps;
    hints.get()->mode = FI_CONTEXT | FI_CONTEXT2;  // every operation has such a context
    hints.get()->ep_attr->type = FI_EP_RDM;
    hints.get()->domain_attr->mr_mode = FI_MR_LOCAL | FI_MR_VIRT_ADDR | FI_MR_ALLOCATED | FI_MR_PROV_KEY;
    hints.get()->domain_attr->threading = FI_THREAD_DOMAIN;  // all of it is used by one thread
    hints.get()->domain_attr->av_type = FI_AV_TABLE;
    return hints;
}

void append(Info& all, fi_info* more) {
    if (!all) {
        all = Info{more};
        return;
    }
    fi_info* last = all.get();
    while (last->next != nullptr) last = last->next;
    last->next = more;
}

[[nodiscard]] std::string pci_address_of(const fi_info& info) {
    if (info.nic == nullptr || info.nic->bus_attr == nullptr || info.nic->bus_attr->bus_type != FI_BUS_PCI) return {};
    const fi_pci_attr& pci = info.nic->bus_attr->attr.pci;
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%04x:%02x:%02x.%x", unsigned{pci.domain_id}, unsigned{pci.bus_id},
                  unsigned{pci.device_id}, unsigned{pci.function_id});
    return text.data();
}

[[nodiscard]] Offer offer_of(const fi_info& info) {
    const auto text = [](const char* words) { return std::string{words == nullptr ? "" : words}; };
    Offer offer{.provider = text(info.fabric_attr->prov_name),
                .domain = text(info.domain_attr->name),
                .is_ipv4 = info.addr_format == FI_SOCKADDR_IN,
                .caps = info.caps,
                .fabric = text(info.fabric_attr->name),
                .pci = pci_address_of(info)};
    // EFA without the provider's protocols is another thing of the same name.
    if (offer.provider == "efa" && text(info.fabric_attr->name) == "efa-direct") offer.provider = "efa-direct";
    return offer;
}

}  // namespace

std::vector<std::string> split_list(const std::string& list) {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < list.size();) {
        const std::size_t end = std::min(list.find(',', at), list.size());
        if (end != at) words.push_back(list.substr(at, end - at));
        at = end + 1;
    }
    return words;
}

Info discover(const Wishes& wishes) {
    const KeptSignals kept;  // looking for providers loads them
    Info all;
    // Providers differ in what they do besides messages, and none is given for what it has not.
    for (const std::uint64_t caps : {FI_MSG | FI_TAGGED | FI_RMA, FI_MSG | FI_RMA, FI_MSG | FI_TAGGED, FI_MSG}) {
        const Info hints = hints_for(caps, library());
        fi_info* found = nullptr;
        const int result = library().getinfo(version, nullptr, nullptr, 0, hints.get(), &found);
        if (result == -FI_ENODATA) continue;
        check(result, "fi_getinfo");
        append(all, found);
        if (!usable_providers(offers_of(all), wishes).empty()) break;
    }
    return all;
}

bool offers_device_memory(const fi_info& device, const Library& libfabric) {
    const KeptSignals kept;
    const Info hints = hints_for(FI_MSG | FI_HMEM, libfabric);
    hints.get()->domain_attr->mr_mode |= FI_MR_HMEM;
    const auto copy = [](const char* name) { return name == nullptr ? nullptr : strdup(name); };  // libfabric frees it
    hints.get()->fabric_attr->prov_name = copy(device.fabric_attr->prov_name);
    hints.get()->fabric_attr->name = copy(device.fabric_attr->name);
    hints.get()->domain_attr->name = copy(device.domain_attr->name);
    fi_info* found = nullptr;
    if (libfabric.getinfo(version, nullptr, nullptr, 0, hints.get(), &found) != 0) return false;
    const Info all{found};
    for (const fi_info* info = all.get(); info != nullptr; info = info->next) {
        if ((info->caps & FI_HMEM) != 0) return true;
    }
    return false;
}

std::vector<Offer> offers_of(const Info& all) {
    std::vector<Offer> offers;
    for (const fi_info* info = all.get(); info != nullptr; info = info->next) offers.push_back(offer_of(*info));
    return offers;
}

std::vector<std::string> usable_providers(const std::vector<Offer>& offers, const Wishes& wishes) {
    const auto is_here = [&](std::string_view name) {
        return std::any_of(offers.begin(), offers.end(), [&](const Offer& offer) { return offer.provider == name; });
    };
    std::vector<std::string> names;
    if (!wishes.provider.empty()) {
        if (is_here(wishes.provider)) names.push_back(wishes.provider);
        return names;
    }
    for (const std::string_view name : usual) {
        if (is_here(name)) names.emplace_back(name);
    }
    return names;
}

std::size_t best_offer(const std::vector<Offer>& offers, std::string_view provider, const Wishes& wishes,
                       const std::filesystem::path& classes) {
    const auto worth = [&](const Offer& offer) {
        const bool leads_out = offer.domain != "lo" && !is_bridge(offer.domain, classes);
        const std::uint64_t caps = offer.caps & (FI_TAGGED | FI_RMA);
        // Loopback before a bridge: where neither leads out, the first is the shorter way.
        return std::tuple{leads_out, offer.domain == "lo", offer.is_ipv4, std::popcount(caps)};
    };
    std::size_t best = offers.size();
    for (std::size_t i = 0; i < offers.size(); ++i) {
        const Offer& offer = offers[i];
        if (offer.provider != provider || (!wishes.domain.empty() && offer.domain != wishes.domain)) continue;
        if (best == offers.size() || worth(offer) > worth(offers[best])) best = i;
    }
    return best;
}

std::vector<std::string> common_providers(const std::vector<std::string>& lists) {
    if (lists.empty()) return {};
    std::vector<std::string> common = split_list(lists.front());
    for (const std::string& list : lists) {
        const std::vector<std::string> theirs = split_list(list);
        std::erase_if(common, [&](const std::string& name) { return !contains(theirs, name); });
    }
    return common;
}

bool may_read_natively(std::string_view provider) noexcept {
    return provider.starts_with("verbs") || provider.starts_with("efa") || provider == "shm" || provider == "cxi";
}

}  // namespace penstock::ofi
