#include "runtime/status.hpp"

#include <algorithm>

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
    for (const ChannelStatus& channel : channels) sum += channel.sent + channel.settled;
    return sum;
}

std::uint64_t Status::counted() const noexcept {
    std::uint64_t sum = 0;
    for (const NamedCounter& counter : head.named) sum += counter.value;
    return sum;
}

StatusBlock::StatusBlock(std::byte* memory, std::size_t channels) noexcept
    : head_{reinterpret_cast<StatusHead*>(memory)},
      channels_{reinterpret_cast<ChannelStatus*>(memory + sizeof(StatusHead))} {
    std::memset(memory, 0, bytes(channels));
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

Status read_status(const std::byte* memory, std::size_t channels) {
    std::vector<std::uint64_t> words(StatusBlock::bytes(channels) / sizeof(std::uint64_t));
    auto* source = reinterpret_cast<std::uint64_t*>(const_cast<std::byte*>(memory));
    for (std::size_t i = 0; i < words.size(); ++i) {
        words[i] = std::atomic_ref{source[i]}.load(std::memory_order_relaxed);
    }
    StatusHead head;
    std::memcpy(static_cast<void*>(&head), words.data(), sizeof head);
    for (std::size_t i = 0; i < StatusHead::named_counters; ++i)
        head.named[i].name[sizeof head.named[i].name - 1] = '\0';
    Status status{.head = head, .channels = std::vector<ChannelStatus>(channels)};
    if (channels != 0) {
        std::memcpy(static_cast<void*>(status.channels.data()),
                    words.data() + sizeof(StatusHead) / sizeof(std::uint64_t), channels * sizeof(ChannelStatus));
    }
    return status;
}

}  // namespace penstock
