#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include <penstock/compression.hpp>
#include <penstock/memory.hpp>

#include "memory/block_pool.hpp"

namespace penstock {

/// Blobs up to this size always travel in the ticket's frame and live in the body itself.
inline constexpr std::size_t inline_blob_bytes = 256;

struct PayloadBody;

/// Where a body goes when nobody holds it any more, and who finds its bytes.
class PayloadHome {
public:
    virtual ~PayloadHome() = default;
    /// The last reference is gone. Called by whichever thread dropped it.
    virtual void retire(PayloadBody* body) noexcept = 0;
    /// Sets `body.data`. Called by the operator's thread when the bytes are first asked for; may block.
    virtual void resolve(PayloadBody& body) = 0;
};

/// A short byte string that needs the heap only beyond 96 bytes, and keeps what it took from it.
class MetaBytes {
public:
    [[nodiscard]] std::span<const std::byte> view() const noexcept { return {data(), size_}; }
    /// Room for `bytes` in place of the old contents.
    [[nodiscard]] std::byte* assign(std::size_t bytes) {
        size_ = 0;
        return grow(bytes);
    }
    /// Room for `bytes` more.
    [[nodiscard]] std::byte* grow(std::size_t bytes);
    void clear() noexcept { size_ = 0; }

private:
    [[nodiscard]] const std::byte* data() const noexcept { return large_.empty() ? small_.data() : large_.data(); }

    std::uint32_t size_ = 0;
    std::array<std::byte, 96> small_;
    std::vector<std::byte> large_;
};

/// A compressed form of a blob, beside it in the arena of its owner.
struct PackedBlob {
    Compression how;
    std::uint64_t bytes = 0;  ///< 0: it would not be smaller, and has no block.
    Block block{};
};

/// The record behind a Payload or a draft. Made and recycled by one thread; `refs` may be dropped by any.
struct PayloadBody {
    std::atomic<std::uint32_t> refs{1};
    PayloadHome* home = nullptr;
    PayloadBody* next = nullptr;      ///< In a free list or a list of returns.
    PayloadBody* parent = nullptr;    ///< The input this was emitted from; one reference is held on it.
    const std::byte* data = nullptr;  ///< The blob; null until resolved.
    std::uint64_t size_bytes = 0;

    PayloadId id{};
    std::uint64_t user_id = 0;
    std::uint64_t source_time_ns = 0;
    std::uint64_t blob_offset = 0;  ///< In the owner's arena.
    std::uint32_t owner = 0;        ///< Rank whose arena holds the blob.
    std::uint16_t channel = 0;
    DType dtype = DType::bytes;
    Format format = Format::none;
    bool has_user_id = false;
    bool has_block = false;     ///< `block` is in use: our arena holds the blob, or a fetched copy of it.
    bool has_id = false;        ///< `id` was taken over from the input it was made from.
    bool received = false;      ///< It came from another instance, which is to be told when it is settled.
    bool settled = false;       ///< Of a received one: its sender has been told, because the blob was copied.
    bool fetching = false;      ///< A fetch into `block` is under way.
    bool has_copy = false;      ///< Of a received one: `block` has its copy, in the form that the owner keeps.
    bool has_unpacked = false;  ///< `unpacked` is in use: the blob, whose compressed form is somewhere else.
    bool has_checksum = false;
    Codec codec = Codec::none;       ///< Of a received one: the form at `blob_offset`.
    std::uint32_t checksum = 0;      ///< Of the blob, not of a compressed form.
    std::uint64_t packed_bytes = 0;  ///< Of that form, unless it is the blob itself.
    Block unpacked{};
    Shape shape;
    Block block{};

    // Of a received body: where it came from, for the settlement.
    std::uint32_t edge = 0;
    std::uint64_t edge_sequence = 0;

    std::vector<PayloadBody*> kept;  ///< More that it was made from; one reference is held on each. Keeps its capacity.
    std::vector<PackedBlob> packed;  ///< Of a blob in our arena, one for each way that a channel asked for.
    MetaBytes metadata;
    std::vector<std::byte> large_inline_blob;  ///< Of a received body whose blob came in the frame; keeps its capacity.
    alignas(64) std::array<std::byte, inline_blob_bytes> inline_blob;
};

/// What its owner keeps for others, in bytes.
[[nodiscard]] inline std::uint64_t stored_bytes(const PayloadBody& body) noexcept {
    return body.codec == Codec::none ? body.size_bytes : body.packed_bytes;
}

inline void add_reference(PayloadBody* body) noexcept {
    body->refs.fetch_add(1, std::memory_order_relaxed);
}

inline void drop_reference(PayloadBody* body) noexcept {
    // A sole owner need not pay for the atomic read-modify-write.
    if (body->refs.load(std::memory_order_acquire) == 1 || body->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) {
        body->home->retire(body);
    }
}

/// Whether who asks, and has one, has the only one.
[[nodiscard]] inline bool is_sole_reference(const PayloadBody& body) noexcept {
    return body.refs.load(std::memory_order_acquire) == 1;
}

/// Lets go of what it kept. For its home, once nobody holds it.
inline void release_kept(PayloadBody& body) noexcept {
    for (PayloadBody* source : body.kept) drop_reference(source);
    body.kept.clear();
}

/// Recycles bodies. Takes from the heap in lots of 64 until the working set is reached. Not thread-safe.
class BodyPool {
public:
    /// @return a body with one reference and default fields; blob contents undefined.
    [[nodiscard]] PayloadBody* take();
    void put_back(PayloadBody* body) noexcept {
        body->next = free_;
        free_ = body;
    }

private:
    void refill();
    PayloadBody* free_ = nullptr;
    std::vector<std::unique_ptr<PayloadBody[]>> lots_;
};

}  // namespace penstock
