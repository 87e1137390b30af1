#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "transports/ofi/endpoint.hpp"

namespace penstock::ofi {

/// A buffer for one message, registered where the provider wants it.
struct Slot {
    Operation operation;
    std::byte* data = nullptr;
    void* descriptor = nullptr;
};

/// Buffers of one length. They are added when a peer is met, and none is ever given up.
class Slots {
public:
    Slots(Device& device, std::size_t bytes, Operation::Role role, std::uint32_t rail)
        : device_{device}, bytes_{bytes}, role_{role}, rail_{rail} {}

    /// @throws Error{unsupported} if they cannot be registered.
    void add(std::size_t count);
    /// Null when all are in use.
    [[nodiscard]] Slot* take() noexcept;
    void give_back(Slot& slot) noexcept { free_.push_back(slot.operation.number); }
    [[nodiscard]] Slot& of(const Operation& operation) noexcept { return slots_[operation.number]; }
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::size_t left() const noexcept { return free_.size(); }
    [[nodiscard]] std::size_t in_use() const noexcept { return slots_.size() - free_.size(); }

private:
    struct Slab {
        std::unique_ptr<std::byte[]> memory;
        Region region;
    };

    Device& device_;
    std::size_t bytes_;
    Operation::Role role_;
    std::uint32_t rail_;
    std::vector<Slab> slabs_;
    std::deque<Slot> slots_;  // a deque: libfabric keeps addresses into it
    std::vector<std::uint32_t> free_;
};

}  // namespace penstock::ofi
