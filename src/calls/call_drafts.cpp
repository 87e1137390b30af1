#include "calls/call_drafts.hpp"

#include <string>

#include <penstock/error.hpp>

namespace penstock {
namespace {

[[nodiscard]] bool is_in_arena(const PayloadBody& body) noexcept {
    return body.data != body.inline_blob.data();
}

}  // namespace

PayloadBody* CallDrafts::make(DType dtype, const Shape& shape, SteadyClock::time_point deadline) {
    std::size_t bytes = 0;
    const bool too_large = __builtin_mul_overflow(shape.count(), size_of(dtype), &bytes);
    std::unique_lock lock{mutex_};
    if (refuses_ || !arena_) throw Error{Errc::disconnected, "no draft: the graph is not served any more"};
    if (too_large || bytes > arena_->limit_bytes() / 2) {
        throw Error{Errc::invalid_input, "a payload of " + std::to_string(shape.count()) + " elements of '" +
                                             std::string{name_of(dtype)} + "' does not fit half of the arena of " +
                                             std::to_string(arena_->limit_bytes() >> 20U) +
                                             " MiB; raise RunOptions::arena_bytes"};
    }
    Block block{};
    if (bytes > inline_blob_bytes) block = allocate(lock, bytes, deadline);
    PayloadBody* body = lend();
    body->dtype = dtype;
    body->shape = shape;
    body->size_bytes = bytes;
    body->owner = owner_;
    body->block = block;
    body->blob_offset = block.offset;
    body->data = bytes > inline_blob_bytes ? arena_->at(block.offset) : body->inline_blob.data();
    // Kept by the channel until it is settled, however small it is: that is how the end of a call is known.
    body->has_block = true;
    return body;
}

Block CallDrafts::allocate(std::unique_lock<std::mutex>& lock, std::size_t bytes, SteadyClock::time_point deadline) {
    for (;;) {
        if (const auto block = arena_->allocate(bytes)) return *block;
        if (freed_.wait_until(lock, deadline) == std::cv_status::timeout) {
            throw Error{Errc::exhausted, "no room for a payload of " + std::to_string(bytes) +
                                             " bytes: unsettled calls and drafts hold " +
                                             std::to_string(arena_->used_bytes() >> 20U) +
                                             " MiB; drop answers earlier or raise RunOptions::arena_bytes"};
        }
        if (refuses_) throw Error{Errc::disconnected, "no draft: the graph is not served any more"};
    }
}

void CallDrafts::refuse() noexcept {
    const std::lock_guard lock{mutex_};
    refuses_ = true;
    freed_.notify_all();
}

void CallDrafts::on_end() noexcept {
    const std::lock_guard lock{mutex_};
    tells_ = false;
}

void CallDrafts::close() noexcept {
    refuse();
    on_end();
    Kept kept;
    const std::lock_guard lock{mutex_};
    end_run(kept);
}

void CallDrafts::retire(PayloadBody* body) noexcept {
    const bool was_sent = body->has_id;
    const std::uint64_t id = body->user_id;
    release_kept(*body);
    bool tell = false;
    {
        Kept kept;
        const std::lock_guard lock{mutex_};
        if (is_in_arena(*body)) {
            arena_->release(body->block);
            freed_.notify_all();
        }
        tell = was_sent && tells_;
        take_back(body, kept);
    }
    if (tell) on_settled_(id);
}

void CallDrafts::resolve(PayloadBody&) {
    throw Error{Errc::internal, "a draft lost its bytes"};
}

}  // namespace penstock
