#pragma once

#include <cstdint>
#include <optional>

#include "memory/arena.hpp"
#include "memory/payload_body.hpp"
#include "runtime/reactor.hpp"
#include "runtime/return_stack.hpp"

namespace penstock {

/// Makes the payloads of one instance: bodies from a pool, blobs from its arena.
class Drafts final : public PayloadHome {
public:
    Drafts(Rank self, Arena& arena, BodyPool& bodies, Reactor& reactor) noexcept
        : self_{self}, arena_{arena}, bodies_{bodies}, reactor_{reactor} {}

    /// Waits while the arena is full. @throws Error{invalid_input} if it could never fit.
    [[nodiscard]] PayloadBody* make(DType dtype, const Shape& shape);

    /// A block of this instance's arena, waiting for one while it is full.
    [[nodiscard]] Block allocate(std::size_t bytes);
    /// Nothing while it is full. @throws Error{invalid_input} if it could never fit.
    [[nodiscard]] std::optional<Block> try_allocate(std::size_t bytes);

    [[nodiscard]] Rank self() const noexcept { return self_; }

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
};

}  // namespace penstock
