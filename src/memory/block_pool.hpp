#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace penstock {

/// A piece of an arena.
struct Block {
    std::uint64_t offset = 0;
    std::uint32_t id = 0;  ///< For the pool.
};

/// Divides a range of addresses into blocks: two-level segregated fit (Masmano et al., "TLSF: a new dynamic memory
/// allocator for real-time systems", ECRTS 2004) with its bookkeeping outside the range. Constant time, but for
/// the last resort before it is exhausted; adjacent free blocks merge. Sizes are multiples of 64 bytes. Not
/// thread-safe.
class BlockPool {
public:
    static constexpr std::size_t granule = 64;

    explicit BlockPool(std::size_t size_bytes);

    /// Nothing when no free block is large enough.
    [[nodiscard]] std::optional<Block> allocate(std::size_t bytes);
    /// REQUIRES: `block` came from `allocate` and was not released since.
    void release(Block block) noexcept;

    [[nodiscard]] std::size_t used_bytes() const noexcept { return used_; }
    [[nodiscard]] std::size_t size_bytes(Block block) const noexcept { return chunks_[block.id].bytes; }

private:
    static constexpr std::uint32_t none = 0xFFFFFFFFU;
    static constexpr unsigned second_bits = 4;  // 16 size classes per power of two: at most 6 % larger than asked
    static constexpr unsigned first_levels = 42;

    struct Chunk {
        std::uint64_t offset = 0;
        std::uint64_t bytes = 0;
        std::uint32_t before = none;  // neighbours in address order
        std::uint32_t after = none;
        std::uint32_t previous = none;  // neighbours in the free list
        std::uint32_t next = none;
        bool free = false;
    };
    struct Class {
        unsigned first;
        unsigned second;
    };

    [[nodiscard]] static Class class_of(std::uint64_t bytes) noexcept;
    [[nodiscard]] std::uint32_t find(std::uint64_t bytes) const noexcept;
    [[nodiscard]] std::uint32_t find_in_class(std::uint64_t bytes) const noexcept;
    [[nodiscard]] std::uint32_t new_chunk();
    void insert(std::uint32_t id) noexcept;
    void remove(std::uint32_t id) noexcept;
    void absorb(std::uint32_t id, std::uint32_t neighbour) noexcept;

    std::size_t size_;
    std::vector<Chunk> chunks_;
    std::uint32_t spare_ = none;  // chunk records not in use, linked by `next`
    std::uint64_t first_map_ = 0;
    std::array<std::uint32_t, first_levels> second_map_{};
    std::array<std::array<std::uint32_t, 1U << second_bits>, first_levels> heads_;
    std::size_t used_ = 0;
};

}  // namespace penstock
