#include "calls/answers.hpp"

#include <cstring>

#include <penstock/error.hpp>

namespace penstock {

Payload Answers::take(const Payload& received, std::optional<std::uint64_t> user_id) {
    const auto blob = received.bytes();  // found here: later it would be another thread's work
    PayloadBody& from = *received.body();
    const std::lock_guard lock{mutex_};
    PayloadBody* body = lend();
    body->id = from.id;
    body->source_time_ns = from.source_time_ns;
    body->channel = from.channel;
    body->dtype = from.dtype;
    body->format = from.format;
    body->shape = from.shape;
    body->size_bytes = from.size_bytes;
    body->has_user_id = user_id.has_value();
    body->user_id = user_id.value_or(0);
    const auto metadata = from.metadata.view();
    if (!metadata.empty()) std::memcpy(body->metadata.assign(metadata.size()), metadata.data(), metadata.size());
    if (blob.size() <= inline_blob_bytes) {
        if (!blob.empty()) std::memcpy(body->inline_blob.data(), blob.data(), blob.size());
        body->data = body->inline_blob.data();
    } else if (blob.data() == from.large_inline_blob.data()) {
        body->large_inline_blob.assign(blob.begin(), blob.end());
        body->data = body->large_inline_blob.data();
    } else {
        body->data = blob.data();
        body->parent = &from;
        add_reference(&from);
        body->edge = static_cast<std::uint32_t>(unsettled_.size());
        unsettled_.push_back(body);
    }
    return Payload{body};
}

void Answers::settle(PayloadBody& body) noexcept {
    unsettled_.back()->edge = body.edge;
    unsettled_[body.edge] = unsettled_.back();
    unsettled_.pop_back();
    drop_reference(std::exchange(body.parent, nullptr));
}

void Answers::settle_all() noexcept {
    const std::lock_guard lock{mutex_};
    while (!unsettled_.empty()) settle(*unsettled_.back());
}

void Answers::close() noexcept {
    settle_all();
    Kept kept;
    const std::lock_guard lock{mutex_};
    end_run(kept);
}

void Answers::retire(PayloadBody* body) noexcept {
    Kept kept;
    const std::lock_guard lock{mutex_};
    if (body->parent != nullptr) settle(*body);
    take_back(body, kept);
}

void Answers::resolve(PayloadBody&) {
    throw Error{Errc::internal, "an answer lost its bytes"};
}

}  // namespace penstock
