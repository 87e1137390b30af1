#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "transports/ofi/handles.hpp"
#include "transports/ofi/settings.hpp"
#include "transports/transport.hpp"

namespace penstock::ofi {

/// Something under way in libfabric, which has its context until it is complete.
struct Operation {
    enum class Role : std::uint8_t { receive, send, read, send_blob, receive_blob, watch };

    fi_context2 context;  ///< First: libfabric gives its address back, and may write into it.
    Role role{};
    Rank peer = 0;  ///< Of all but receives.
    std::uint32_t rail = 0;
    std::uint32_t number = 0;  ///< Its owner's.
};

struct Completion {
    Operation* operation = nullptr;
    std::size_t bytes = 0;  ///< Of a receive.
    int error = 0;          ///< An errno of libfabric, or 0.
    std::string what;       ///< Of an error, in words.
};

/// Registered memory of ours.
class Region {
public:
    Region() = default;
    Region(MemoryRegion handle, bool has_descriptor) : handle_{std::move(handle)}, has_descriptor_{has_descriptor} {}

    /// For local use; null where the provider wants none.
    [[nodiscard]] void* descriptor() const noexcept { return has_descriptor_ ? fi_mr_desc(handle_.get()) : nullptr; }
    [[nodiscard]] std::uint64_t key() const noexcept { return handle_ ? fi_mr_key(handle_.get()) : 0; }

private:
    MemoryRegion handle_;
    bool has_descriptor_ = false;
};

/// A provider's device: memory is registered with it.
class Device {
public:
    Device(Info info, std::string provider, const Limits& limits);

    [[nodiscard]] const fi_info& info() const noexcept { return *info_.get(); }
    [[nodiscard]] fi_info* info_handle() const noexcept { return info_.get(); }
    [[nodiscard]] const std::string& provider() const noexcept { return provider_; }
    [[nodiscard]] const Limits& limits() const noexcept { return limits_; }
    [[nodiscard]] fid_fabric* fabric() const noexcept { return fabric_.get(); }
    [[nodiscard]] fid_domain* domain() const noexcept { return domain_.get(); }

    [[nodiscard]] std::size_t longest_message() const noexcept;
    [[nodiscard]] bool tagged() const noexcept { return limits_.tagged && (info().caps & FI_TAGGED) != 0; }
    [[nodiscard]] bool reads() const noexcept { return (info().caps & FI_RMA) != 0; }
    /// Whether addresses in registered memory are those of its owner; otherwise they begin at zero.
    [[nodiscard]] bool by_address() const noexcept { return (info().domain_attr->mr_mode & FI_MR_VIRT_ADDR) != 0; }
    /// Whether what is sent from and received into must be registered.
    [[nodiscard]] bool needs_descriptors() const noexcept {
        return !limits_.unregistered || (info().domain_attr->mr_mode & FI_MR_LOCAL) != 0;
    }

    /// @param remote  Peers may read it. @throws Error{unsupported}
    [[nodiscard]] Region register_memory(void* at, std::size_t bytes, bool remote);
    /// How often memory was registered.
    [[nodiscard]] std::uint64_t registrations() const noexcept { return registrations_; }

private:
    std::string provider_;
    Limits limits_;
    Info info_;
    Fabric fabric_;
    Domain domain_;
    std::uint64_t registrations_ = 0;
};

/// The one way in and out, with a queue for all that ends.
class Endpoint {
public:
    explicit Endpoint(Device& device);

    /// What others need to reach it.
    [[nodiscard]] std::string address() const;
    /// Everybody's addresses, by rank; only then anything may be sent. @throws Error{unsupported}
    void meet(const std::vector<std::string>& addresses);

    // Each returns 0, -FI_EAGAIN, or an error. The operation stays until it has completed.
    [[nodiscard]] long receive(std::span<std::byte> into, void* descriptor, Operation& operation);
    [[nodiscard]] long send(Rank to, std::span<const std::byte> bytes, void* descriptor, Operation& operation);
    /// Two pieces in one message.
    [[nodiscard]] long send(Rank to, std::array<iovec, 2> pieces, std::array<void*, 2> descriptors,
                            Operation& operation);
    /// REQUIRES: bytes.size() <= inject_bytes(). There is no operation: the bytes are taken.
    [[nodiscard]] long inject(Rank to, std::span<const std::byte> bytes);
    [[nodiscard]] long read(Rank from, std::span<std::byte> into, void* descriptor, std::uint64_t address,
                            std::uint64_t key, Operation& operation);
    [[nodiscard]] long send_tagged(Rank to, std::span<const std::byte> bytes, void* descriptor, std::uint64_t tag,
                                   Operation& operation);
    [[nodiscard]] long receive_tagged(Rank from, std::span<std::byte> into, void* descriptor, std::uint64_t tag,
                                      Operation& operation);
    /// It completes all the same, perhaps with an error.
    void cancel(Operation& operation) noexcept { fi_cancel(&endpoint_.get()->fid, &operation.context); }

    [[nodiscard]] std::size_t inject_bytes() const noexcept { return device_.info().tx_attr->inject_size; }
    [[nodiscard]] bool takes_two_pieces() const noexcept { return device_.info().tx_attr->iov_limit >= 2; }
    /// Whether a read needs no help of the owner's processor.
    [[nodiscard]] bool reads_natively() const noexcept;

    /// Makes libfabric move, and adds what has completed. @return how many.
    std::size_t progress(std::vector<Completion>& completions);

    /// Becomes readable when there is something to do, if asleep is allowed just now; -1 where it has none.
    [[nodiscard]] int descriptor() const noexcept { return wait_fd_; }
    [[nodiscard]] bool may_sleep() noexcept;

private:
    void read_error(std::vector<Completion>& completions);

    Device& device_;
    CompletionQueue queue_;
    AddressVector peers_;
    EndpointHandle endpoint_;
    std::vector<fi_addr_t> addresses_;
    int wait_fd_ = -1;
};

}  // namespace penstock::ofi
