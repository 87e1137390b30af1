#include "memory/block_pool.hpp"

#include <algorithm>
#include <bit>

namespace penstock {

BlockPool::BlockPool(std::size_t size_bytes) : size_{size_bytes / granule * granule} {
    for (auto& heads : heads_) heads.fill(none);
    chunks_.reserve(16384);
    if (size_ == 0) return;
    const std::uint32_t id = new_chunk();
    chunks_[id].bytes = size_;
    insert(id);
}

std::optional<Block> BlockPool::allocate(std::size_t bytes) {
    if (bytes > size_) return std::nullopt;
    const std::uint64_t wanted = std::max<std::uint64_t>((bytes + granule - 1) / granule * granule, granule);
    std::uint32_t id = find(wanted);
    if (id == none) id = find_in_class(wanted);
    if (id == none) return std::nullopt;
    remove(id);
    if (chunks_[id].bytes > wanted) {
        const std::uint32_t rest = new_chunk();
        Chunk& taken = chunks_[id];
        chunks_[rest].offset = taken.offset + wanted;
        chunks_[rest].bytes = taken.bytes - wanted;
        chunks_[rest].before = id;
        chunks_[rest].after = taken.after;
        if (taken.after != none) chunks_[taken.after].before = rest;
        taken.after = rest;
        taken.bytes = wanted;
        insert(rest);
    }
    used_ += wanted;
    return Block{.offset = chunks_[id].offset, .id = id};
}

void BlockPool::release(Block block) noexcept {
    const std::uint32_t id = block.id;
    used_ -= chunks_[id].bytes;
    if (const std::uint32_t after = chunks_[id].after; after != none && chunks_[after].free) {
        remove(after);
        absorb(id, after);
    }
    std::uint32_t merged = id;
    if (const std::uint32_t before = chunks_[id].before; before != none && chunks_[before].free) {
        remove(before);
        absorb(before, id);
        merged = before;
    }
    insert(merged);
}

BlockPool::Class BlockPool::class_of(std::uint64_t bytes) noexcept {
    const std::uint64_t granules = bytes / granule;
    const unsigned log = static_cast<unsigned>(std::bit_width(granules)) - 1;
    if (log < second_bits) return {0, static_cast<unsigned>(granules)};
    const unsigned second = static_cast<unsigned>(granules >> (log - second_bits)) & ((1U << second_bits) - 1);
    return {log - second_bits + 1, second};
}

/// The first block of the smallest class all of whose blocks are large enough; of the class below it, which holds some
/// that are, only the first is looked at, so that a size asked for again and again finds the block it gave back.
std::uint32_t BlockPool::find(std::uint64_t bytes) const noexcept {
    Class at = class_of(bytes);
    if (const std::uint32_t first = heads_[at.first][at.second]; first != none && chunks_[first].bytes >= bytes) {
        return first;
    }
    if (++at.second == 1U << second_bits) {
        at.second = 0;
        ++at.first;
    }
    if (at.first >= first_levels) return none;
    if (const std::uint32_t seconds = second_map_[at.first] & (~0U << at.second); seconds != 0) {
        return heads_[at.first][static_cast<unsigned>(std::countr_zero(seconds))];
    }
    const std::uint64_t firsts = first_map_ & (~std::uint64_t{0} << (at.first + 1));
    if (firsts == 0) return none;
    const auto first = static_cast<unsigned>(std::countr_zero(firsts));
    return heads_[first][static_cast<unsigned>(std::countr_zero(second_map_[first]))];
}

/// Any block that is large enough among those of the wanted size's own class.
std::uint32_t BlockPool::find_in_class(std::uint64_t bytes) const noexcept {
    const Class at = class_of(bytes);
    std::uint32_t id = heads_[at.first][at.second];
    while (id != none && chunks_[id].bytes < bytes) id = chunks_[id].next;
    return id;
}

std::uint32_t BlockPool::new_chunk() {
    if (spare_ != none) {
        const std::uint32_t id = spare_;
        spare_ = chunks_[id].next;
        chunks_[id] = Chunk{};
        return id;
    }
    chunks_.emplace_back();
    return static_cast<std::uint32_t>(chunks_.size() - 1);
}

void BlockPool::insert(std::uint32_t id) noexcept {
    Chunk& chunk = chunks_[id];
    const Class at = class_of(chunk.bytes);
    std::uint32_t& head = heads_[at.first][at.second];
    chunk.free = true;
    chunk.previous = none;
    chunk.next = head;
    if (head != none) chunks_[head].previous = id;
    head = id;
    second_map_[at.first] |= 1U << at.second;
    first_map_ |= std::uint64_t{1} << at.first;
}

void BlockPool::remove(std::uint32_t id) noexcept {
    Chunk& chunk = chunks_[id];
    const Class at = class_of(chunk.bytes);
    if (chunk.previous != none) {
        chunks_[chunk.previous].next = chunk.next;
    } else {
        heads_[at.first][at.second] = chunk.next;
        if (chunk.next == none) {
            second_map_[at.first] &= ~(1U << at.second);
            if (second_map_[at.first] == 0) first_map_ &= ~(std::uint64_t{1} << at.first);
        }
    }
    if (chunk.next != none) chunks_[chunk.next].previous = chunk.previous;
    chunk.free = false;
}

/// Merges `neighbour`, which follows `id` in address order, into `id`.
void BlockPool::absorb(std::uint32_t id, std::uint32_t neighbour) noexcept {
    Chunk& kept = chunks_[id];
    const Chunk& gone = chunks_[neighbour];
    kept.bytes += gone.bytes;
    kept.after = gone.after;
    if (gone.after != none) chunks_[gone.after].before = id;
    chunks_[neighbour].next = spare_;
    spare_ = neighbour;
}

}  // namespace penstock
