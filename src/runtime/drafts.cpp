#include "runtime/drafts.hpp"

namespace penstock {

PayloadBody* Drafts::make(DType dtype, const Shape& shape) {
    const std::uint64_t count = shape.count();
    const std::size_t element = size_of(dtype);
    std::size_t bytes = 0;
    if (__builtin_mul_overflow(count, element, &bytes) || bytes > arena_.limit_bytes()) {
        throw Error{Errc::invalid_input, "a payload of " + std::to_string(count) + " elements of '" +
                                             std::string{name_of(dtype)} + "' does not fit the arena of " +
                                             std::to_string(arena_.limit_bytes() >> 20U) + " MiB; raise --arena-mib"};
    }
    Block block{};
    if (bytes > inline_blob_bytes) block = allocate(bytes);
    PayloadBody* body = bodies_.take();
    body->home = this;
    body->dtype = dtype;
    body->shape = shape;
    body->size_bytes = bytes;
    body->owner = self_;
    body->block = block;
    body->has_block = bytes > inline_blob_bytes;
    body->blob_offset = block.offset;
    body->data = body->has_block ? arena_.at(block.offset) : body->inline_blob.data();
    return body;
}

std::optional<Block> Drafts::try_allocate(std::size_t bytes) {
    auto block = arena_.allocate(bytes);
    if (!block && bytes > arena_.limit_bytes() / 2 && arena_.used_bytes() < arena_.limit_bytes() / 16) {
        throw Error{Errc::invalid_input, "a payload of " + std::to_string(bytes) + " bytes does not fit the arena of " +
                                             std::to_string(arena_.limit_bytes() >> 20U) +
                                             " MiB beside its own bookkeeping; raise --arena-mib"};
    }
    return block;
}

Block Drafts::allocate(std::size_t bytes) {
    auto block = try_allocate(bytes);
    if (block) return *block;
    while (!block) {
        collect();
        reactor_.wait(Activity::waiting_for_memory, 0);
        block = try_allocate(bytes);
    }
    reactor_.resume();
    return *block;
}

void Drafts::retire(PayloadBody* body) noexcept {
    if (returned_.is_owner()) {
        free(body);
    } else {
        returned_.push(body);
        reactor_.wake();
    }
}

void Drafts::free(PayloadBody* body) noexcept {
    if (body->has_block) arena_.release(body->block);
    if (!body->packed.empty()) release_packed(*body, arena_);
    PayloadBody* parent = body->parent;
    release_kept(*body);
    bodies_.put_back(body);
    if (parent != nullptr) drop_reference(parent);
}

void Drafts::resolve(PayloadBody&) {
    throw Error{Errc::internal, "a draft lost its bytes"};
}

}  // namespace penstock
