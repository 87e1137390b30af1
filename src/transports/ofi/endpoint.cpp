#include "transports/ofi/endpoint.hpp"

#include <algorithm>

#include <rdma/fi_cm.h>
#include <rdma/fi_eq.h>
#include <rdma/fi_errno.h>
#include <rdma/fi_ext.h>
#include <rdma/fi_rma.h>
#include <rdma/fi_tagged.h>

#include "transports/ofi/provider.hpp"

namespace penstock::ofi {
namespace {

constexpr int rounds_per_poll = 8;

}  // namespace

Device::Device(Info info, std::string provider, const Limits& limits)
    : provider_{std::move(provider)}, limits_{limits}, info_{std::move(info)} {
    fid_fabric* fabric = nullptr;
    check(library().fabric(info_.get()->fabric_attr, &fabric, nullptr), "fi_fabric");
    fabric_ = Fabric{fabric};
    fid_domain* domain = nullptr;
    check(fi_domain(fabric_.get(), info_.get(), &domain, nullptr), "fi_domain");
    domain_ = Domain{domain};
}

std::size_t Device::longest_message() const noexcept {
    return std::min(info().ep_attr->max_msg_size, limits_.message_bytes);
}

Region Device::register_memory(void* at, std::size_t bytes, bool remote) {
    std::uint64_t access = FI_SEND | FI_RECV;
    if (reads()) access |= FI_READ | (remote ? FI_REMOTE_READ : 0);
    ++registrations_;
    const std::uint64_t key = registrations_;  // where the provider has none of its own
    fid_mr* region = nullptr;
    check(fi_mr_reg(domain_.get(), at, bytes, access, 0, key, 0, &region, nullptr), "fi_mr_reg");
    return {MemoryRegion{region}, needs_descriptors()};
}

Endpoint::Endpoint(Device& device) : device_{device} {
    const fi_info& info = device.info();
    fi_cq_attr queue_attributes{};
    queue_attributes.format = FI_CQ_FORMAT_MSG;
    queue_attributes.size = info.tx_attr->size + info.rx_attr->size;
    queue_attributes.wait_obj = FI_WAIT_FD;
    fid_cq* queue = nullptr;
    int result = fi_cq_open(device.domain(), &queue_attributes, &queue, nullptr);
    const bool has_descriptor = result == 0;
    if (!has_descriptor) {  // EFA has nothing to sleep on
        queue_attributes.wait_obj = FI_WAIT_NONE;
        result = fi_cq_open(device.domain(), &queue_attributes, &queue, nullptr);
    }
    check(result, "fi_cq_open");
    queue_ = CompletionQueue{queue};

    fi_av_attr vector_attributes{};
    vector_attributes.type = FI_AV_TABLE;
    fid_av* peers = nullptr;
    check(fi_av_open(device.domain(), &vector_attributes, &peers, nullptr), "fi_av_open");
    peers_ = AddressVector{peers};

    fid_ep* endpoint = nullptr;
    check(fi_endpoint(device.domain(), device_.info_handle(), &endpoint, nullptr), "fi_endpoint");
    endpoint_ = EndpointHandle{endpoint};
    check(fi_ep_bind(endpoint, &peers->fid, 0), "fi_ep_bind");
    check(fi_ep_bind(endpoint, &queue->fid, FI_TRANSMIT | FI_RECV), "fi_ep_bind");
    check(fi_enable(endpoint), "fi_enable");
    if (has_descriptor && fi_control(&queue->fid, FI_GETWAIT, &wait_fd_) != 0) wait_fd_ = -1;
}

std::string Endpoint::address() const {
    std::size_t bytes = 0;
    static_cast<void>(fi_getname(&endpoint_.get()->fid, nullptr, &bytes));  // says how long it is
    std::string text(bytes, '\0');
    check(fi_getname(&endpoint_.get()->fid, text.data(), &bytes), "fi_getname");
    text.resize(bytes);
    return text;
}

void Endpoint::meet(const std::vector<std::string>& addresses) {
    addresses_.assign(addresses.size(), FI_ADDR_UNSPEC);
    for (std::size_t rank = 0; rank < addresses.size(); ++rank) {
        if (addresses[rank].size() != addresses[0].size()) {
            throw Error{Errc::unsupported, "rank " + std::to_string(rank) + " has an address of another kind"};
        }
        const int inserted = fi_av_insert(peers_.get(), addresses[rank].data(), 1, &addresses_[rank], 0, nullptr);
        if (inserted != 1) {
            throw Error{Errc::unsupported,
                        "fi_av_insert: the address of rank " + std::to_string(rank) + " is none: " + text_of(inserted)};
        }
    }
}

long Endpoint::receive(std::span<std::byte> into, void* descriptor, Operation& operation) {
    return fi_recv(endpoint_.get(), into.data(), into.size(), descriptor, FI_ADDR_UNSPEC, &operation.context);
}

long Endpoint::send(Rank to, std::span<const std::byte> bytes, void* descriptor, Operation& operation) {
    return fi_send(endpoint_.get(), bytes.data(), bytes.size(), descriptor, addresses_[to], &operation.context);
}

long Endpoint::send(Rank to, std::array<iovec, 2> pieces, std::array<void*, 2> descriptors, Operation& operation) {
    return fi_sendv(endpoint_.get(), pieces.data(), descriptors.data(), pieces.size(), addresses_[to],
                    &operation.context);
}

long Endpoint::inject(Rank to, std::span<const std::byte> bytes) {
    return fi_inject(endpoint_.get(), bytes.data(), bytes.size(), addresses_[to]);
}

long Endpoint::read(Rank from, std::span<std::byte> into, void* descriptor, std::uint64_t address, std::uint64_t key,
                    Operation& operation) {
    return fi_read(endpoint_.get(), into.data(), into.size(), descriptor, addresses_[from], address, key,
                   &operation.context);
}

long Endpoint::send_tagged(Rank to, std::span<const std::byte> bytes, void* descriptor, std::uint64_t tag,
                           Operation& operation) {
    return fi_tsend(endpoint_.get(), bytes.data(), bytes.size(), descriptor, addresses_[to], tag, &operation.context);
}

long Endpoint::receive_tagged(Rank from, std::span<std::byte> into, void* descriptor, std::uint64_t tag,
                              Operation& operation) {
    const bool directed = (device_.info().caps & FI_DIRECTED_RECV) != 0;
    return fi_trecv(endpoint_.get(), into.data(), into.size(), descriptor, directed ? addresses_[from] : FI_ADDR_UNSPEC,
                    tag, 0, &operation.context);
}

bool Endpoint::reads_natively() const noexcept {
    if (!device_.limits().native_read || !device_.reads() || !may_read_natively(device_.provider())) return false;
    if (!device_.provider().starts_with("efa")) return true;
#ifdef PENSTOCK_HAS_OFI_EFA_QUERY
    bool emulated = true;
    std::size_t bytes = sizeof emulated;
    return fi_getopt(&endpoint_.get()->fid, FI_OPT_ENDPOINT, FI_OPT_EFA_EMULATED_READ, &emulated, &bytes) == 0 &&
           !emulated;
#else
    return false;  // this libfabric does not say; c5n has no device that reads
#endif
}

std::size_t Endpoint::progress(std::vector<Completion>& completions) {
    const std::size_t before = completions.size();
    std::array<fi_cq_msg_entry, 32> entries{};
    for (int round = 0; round < rounds_per_poll; ++round) {
        const auto count = fi_cq_read(queue_.get(), entries.data(), entries.size());
        if (count == -FI_EAVAIL) {
            read_error(completions);
            continue;
        }
        if (count <= 0) break;
        for (long i = 0; i < count; ++i) {
            const fi_cq_msg_entry& entry = entries[static_cast<std::size_t>(i)];
            completions.push_back(
                {.operation = static_cast<Operation*>(entry.op_context), .bytes = entry.len, .error = 0, .what = {}});
        }
    }
    return completions.size() - before;
}

void Endpoint::read_error(std::vector<Completion>& completions) {
    fi_cq_err_entry entry{};
    if (fi_cq_readerr(queue_.get(), &entry, 0) < 1) return;
    std::string what = text_of(entry.err);
    std::array<char, 256> text{};
    const char* said = fi_cq_strerror(queue_.get(), entry.prov_errno, entry.err_data, text.data(), text.size());
    if (said != nullptr && *said != '\0' && what != said) what.append(" (").append(said).append(")");
    completions.push_back({.operation = static_cast<Operation*>(entry.op_context),
                           .bytes = entry.len,
                           .error = entry.err == 0 ? FI_EIO : entry.err,
                           .what = std::move(what)});
}

bool Endpoint::may_sleep() noexcept {
    fid* queue = &queue_.get()->fid;
    return fi_trywait(device_.fabric(), &queue, 1) == FI_SUCCESS;
}

}  // namespace penstock::ofi
