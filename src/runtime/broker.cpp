#include "runtime/broker.hpp"

namespace penstock {

Broker::Broker(const ChannelShape& channel, const Process& process, std::uint64_t most_copied)
    : by_{channel.by},
      in_{sending_leg(channel), process.reactor, process.drafts, process.arena,
          process.bodies,       ready_,          received_,      most_copied},
      out_{receiving_leg(channel), process.reactor, process.drafts, sent_} {}

Broker::~Broker() {
    while (!ready_.empty()) drop_reference(ready_.pop());
}

void Broker::pump() {
    if (is_over_) return;
    out_.pump();
    if (by_ == PassBy::value) in_.prefetch();
    pass_on();
    give_back();
    if (ready_.empty() && in_.ended()) end();
}

void Broker::pass_on() {
    while (!ready_.empty()) {
        PayloadBody* body = ready_.front();
        if (by_ == PassBy::value && !body->settled) return;  // its copy is still to come
        const std::uint32_t edge = body->edge;
        const std::uint64_t bytes = body->size_bytes;
        const std::uint64_t touched = by_ == PassBy::value ? stored_bytes(*body) : body->data != nullptr ? bytes : 0;
        if (!out_.try_publish(body)) return;
        bytes_ += touched;
        static_cast<void>(ready_.pop());
        in_.taken();
        in_.return_credit(edge, bytes);
    }
}

/// While tickets come in, credits and settlements are gathered to go back in few frames.
void Broker::give_back() {
    const bool is_busy = received_.sent != seen_;
    seen_ = received_.sent;
    const std::uint64_t now = ticks();
    if (is_busy && now - gave_back_ < short_while) return;
    gave_back_ = now;
    in_.flush_returns();
}

void Broker::end() {
    if (!has_ended_) has_ended_ = out_.try_end();
    if (has_ended_ && out_.finished() && in_.all_settled()) is_over_ = in_.acknowledge();
}

BrokerView Broker::view() const noexcept {
    return {.channel = out_.number(),
            .published = sent_.published,
            .settled = sent_.settled,
            .dropped = sent_.dropped,
            .bytes = sent_.bytes,
            .queued = ready_.size(),
            .credits = sent_.credits,
            .touched_bytes = bytes_};
}

}  // namespace penstock
