#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "memory/arena.hpp"
#include "memory/payload_body.hpp"
#include "runtime/blob_codecs.hpp"
#include "runtime/reactor.hpp"
#include "runtime/return_stack.hpp"

namespace penstock {

/// Makes the payloads of one instance: bodies from a pool, blobs from its arena.
class Drafts final : public PayloadHome {
public:
    Drafts(Rank self, Arena& arena, BodyPool& bodies, Reactor& reactor) noexcept
        : self_{self}, arena_{arena}, bodies_{bodies}, reactor_{reactor}, codecs_{self, arena} {}

    /// Waits while the arena is full. @throws Error{invalid_input} if it could never fit.
    [[nodiscard]] PayloadBody* make(DType dtype, const Shape& shape);

    /// A block of this instance's arena, waiting for one while it is full.
    [[nodiscard]] Block allocate(std::size_t bytes);
    /// Nothing while it is full. @throws Error{invalid_input} if it could never fit.
    [[nodiscard]] std::optional<Block> try_allocate(std::size_t bytes);

    [[nodiscard]] Rank self() const noexcept { return self_; }
    [[nodiscard]] BlobCodecs& codecs() noexcept { return codecs_; }

    /// A blob has arrived, or will, in a compressed form: memory that others could do without is left for it.
    void expect_unpacking(std::uint64_t bytes) noexcept {
        to_leave_ = std::max(to_leave_, std::min<std::uint64_t>(bytes, arena_.limit_bytes()));
    }
    /// Whether such memory is left when so much more is taken.
    [[nodiscard]] bool can_spare(std::uint64_t bytes) const noexcept {
        return to_leave_ == 0 || arena_.used_bytes() + bytes + to_leave_ <= arena_.limit_bytes();
    }

    /// Takes back what other threads have dropped.
    void collect() {
        returned_.drain([this](PayloadBody* body) { free(body); });
    }

    void retire(PayloadBody* body) noexcept override;
    /// A draft always has its bytes.
    void resolve(PayloadBody& body) override;

private:
    void free(PayloadBody* body) noexcept;

    Rank self_;
    Arena& arena_;
    BodyPool& bodies_;
    Reactor& reactor_;
    ReturnStack returned_;
    BlobCodecs codecs_;
    std::uint64_t to_leave_ = 0;  // the largest blob that came in a compressed form
};

}  // namespace penstock
