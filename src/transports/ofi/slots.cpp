#include "transports/ofi/slots.hpp"

namespace penstock::ofi {

void Slots::add(std::size_t count) {
    if (count == 0) return;
    Slab slab{.memory = std::make_unique_for_overwrite<std::byte[]>(count * bytes_), .region = {}};
    if (device_.needs_descriptors()) slab.region = device_.register_memory(slab.memory.get(), count * bytes_, false);
    free_.reserve(slots_.size() + count);
    for (std::size_t i = 0; i < count; ++i) {
        Slot& slot = slots_.emplace_back();
        slot.operation.role = role_;
        slot.operation.rail = rail_;
        slot.operation.number = static_cast<std::uint32_t>(slots_.size() - 1);
        slot.data = slab.memory.get() + i * bytes_;
        slot.descriptor = slab.region.descriptor();
        free_.push_back(slot.operation.number);
    }
    slabs_.push_back(std::move(slab));
}

Slot* Slots::take() noexcept {
    if (free_.empty()) return nullptr;
    Slot& slot = slots_[free_.back()];
    free_.pop_back();
    return &slot;
}

}  // namespace penstock::ofi
