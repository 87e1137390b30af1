#include "runtime/status.hpp"

#include <algorithm>
#include <utility>

namespace penstock {

std::string_view words_for(Activity activity) noexcept {
    switch (activity) {
        case Activity::starting: return "starting";
        case Activity::waiting_for_input: return "waiting for input";
        case Activity::waiting_for_credit: return "waiting for credit";
        case Activity::waiting_for_memory: return "waiting for memory (its arena is full of unsettled payloads)";
        case Activity::waiting_for_outbox: return "waiting for room in its outbox";
        case Activity::waiting_for_blob: return "waiting for a blob to arrive";
        case Activity::waiting_for_settlement: return "waiting for its payloads to be settled";
        case Activity::operating: return "inside its operator";
        case Activity::paced: return "pausing on purpose";
        case Activity::done: return "done";
    }
    return "in an unknown state";
}

std::uint64_t Status::moved() const noexcept {
    std::uint64_t sum = 0;
    for (const ChannelStatus& channel : channels) {
        sum += channel.sent + channel.settled + channel.filtered + channel.skipped;
    }
    return sum;
}

std::uint64_t Status::counted() const noexcept {
    std::uint64_t sum = 0;
    for (const NamedCounter& counter : head.named) sum += counter.value;
    return sum;
}

void Status::extend_to(std::uint64_t now) noexcept {
    if (head.timed_at == 0 || now <= head.timed_at || head.activity >= activities) return;
    head.spent_ns[head.activity] += now - head.timed_at;
    head.timed_at = now;
}

std::size_t StatusShape::bytes() const noexcept {
    return sizeof(StatusHead) + channels.size() * sizeof(ChannelStatus) + (takes_latency ? sizeof(LogHistogram) : 0);
}

StatusShape status_shape(const Plan& plan, std::uint32_t rank) {
    const PlannedStage& stage = plan.stages[plan.place(rank).stage];
    StatusShape shape{
        .channels = stage.inputs, .inputs = stage.inputs.size(), .takes_latency = stage.kind == OperatorKind::sink};
    shape.channels.insert(shape.channels.end(), stage.outputs.begin(), stage.outputs.end());
    return shape;
}

Status empty_status(const StatusShape& shape) {
    Status status;
    status.channels.resize(shape.channels.size());
    if (shape.takes_latency) status.latency.emplace_back();
    return status;
}

StatusBlock::StatusBlock(std::byte* memory, StatusShape shape) noexcept
    : shape_{std::move(shape)},
      head_{reinterpret_cast<StatusHead*>(memory)},
      channels_{reinterpret_cast<ChannelStatus*>(memory + sizeof(StatusHead))},
      latency_{reinterpret_cast<LogHistogram*>(memory + sizeof(StatusHead) +
                                               shape_.channels.size() * sizeof(ChannelStatus))} {
    std::memset(memory, 0, shape_.bytes());
    bring_up_to_date();
}

void StatusBlock::bring_up_to_date() noexcept {
    const std::uint64_t now = clock_.steady_ns(ticks());
    const std::uint64_t before = head_->timed_at;
    publish(head_->timed_at, now);
    if (before == 0 || now <= before) return;
    add(head_->spent_ns[head_->activity], now - before);
    if (names_channel(activity())) add_stall(now - before);
}

void StatusBlock::add_stall(std::uint64_t nanoseconds) noexcept {
    if (activity() == Activity::waiting_for_input) {
        // For any of its inputs, but not for those where nothing comes any more.
        for (std::size_t i = 0; i < shape_.inputs; ++i) {
            if (channels_[i].ended == 0)
                add(channels_[i].stalled_ns[static_cast<std::size_t>(Stall::no_data)], nanoseconds);
        }
        return;
    }
    if (activity() == Activity::waiting_for_memory) return;  // of all its channels, or of what it keeps
    const Stall cause = activity() == Activity::waiting_for_credit ? Stall::no_credit : Stall::fabric;
    for (std::size_t i = 0; i < shape_.channels.size(); ++i) {
        if (shape_.channels[i] != head_->channel) continue;
        return add(channels_[i].stalled_ns[static_cast<std::size_t>(cause)], nanoseconds);
    }
}

bool StatusBlock::count(std::string_view name, std::uint64_t by) noexcept {
    for (NamedCounter& counter : head_->named) {
        if (counter.name[0] == '\0') {
            std::copy_n(name.data(), std::min(name.size(), counter.name.size() - 1), counter.name.data());
        } else if (name.substr(0, counter.name.size() - 1) != counter.name.data()) {
            continue;
        }
        add(counter.value, by);
        return true;
    }
    return false;
}

Status read_status(const std::byte* memory, const StatusShape& shape) {
    std::vector<std::uint64_t> words(shape.bytes() / sizeof(std::uint64_t));
    auto* source = reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(memory));
    for (std::size_t i = 0; i < words.size(); ++i) {
        words[i] = std::atomic_ref{source[i]}.load(std::memory_order_relaxed);
    }
    const auto* at = reinterpret_cast<const std::byte*>(words.data());
    const auto take = [&at](auto& into) {
        std::memcpy(static_cast<void*>(&into), at, sizeof into);
        at += sizeof into;
    };
    Status status = empty_status(shape);
    take(status.head);
    for (NamedCounter& counter : status.head.named) counter.name.back() = '\0';
    for (ChannelStatus& channel : status.channels) take(channel);
    for (LogHistogram& latency : status.latency) take(latency);
    return status;
}

}  // namespace penstock
