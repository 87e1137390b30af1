#include "runtime/channel_leases.hpp"

#include <algorithm>
#include <utility>

namespace penstock {
namespace {

constexpr std::chrono::milliseconds longest_silence{1000};

}  // namespace

ChannelLeases::ChannelLeases(const ChannelShape& shape, Reactor& reactor)
    : shape_{shape}, reactor_{reactor}, free_{shape.receivers}, share_(shape.receivers), has_asked_(shape.senders) {
    for (std::uint32_t i = 0; i < shape.senders; ++i) {
        to_senders_.push_back(&reactor_.connect(shape.first_sender + i, "auto"));
    }
    for (std::uint32_t i = 0; i < shape.receivers; ++i) reactor_.connect(shape.first_receiver + i, "auto");
    reactor_.set_input(shape_.number, this);
}

ChannelLeases::~ChannelLeases() {
    reactor_.set_input(shape_.number, nullptr);
}

void ChannelLeases::on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) {
    const auto message = read_frame<LeaseFrame>(frame);
    if (!message) reactor_.protocol_error(from, "a message about leases of impossible length");
    switch (kind) {
        case FrameKind::grant:
            if (from - shape_.first_receiver >= shape_.receivers) break;
            return add_free(from, from - shape_.first_receiver, message->payloads);
        case FrameKind::give_back:
            if (from - shape_.first_sender >= shape_.senders) break;
            return add_free(from, message->receiver, message->payloads);
        case FrameKind::ask:
            if (from - shape_.first_sender >= shape_.senders) break;
            return add_question(from, *message);
        default: break;
    }
    reactor_.protocol_error(from, "a message about leases of channel '" + shape_.name + "' that is not its to send");
}

void ChannelLeases::add_free(Rank from, std::uint32_t receiver, std::uint32_t payloads) {
    if (receiver >= free_.receivers() || free_.of(receiver) + payloads > shape_.capacity) {
        reactor_.protocol_error(from, "more credits for channel '" + shape_.name + "' than its capacity");
    }
    free_.add(receiver, payloads);
}

void ChannelLeases::add_question(Rank from, const LeaseFrame& ask) {
    const std::uint32_t sender = from - shape_.first_sender;
    if (has_asked_[sender] || ask.payloads == 0 || ask.receiver != 0) {
        reactor_.protocol_error(from, "a broken or second question for leases of channel '" + shape_.name + "'");
    }
    has_asked_[sender] = true;
    questions_.push({.sender = sender,
                     .payloads = ask.payloads,
                     .recall_at = SteadyClock::now() + patience,
                     .recall_every = patience});
}

void ChannelLeases::serve() {
    for (std::size_t waiting = questions_.size(); waiting > 0; --waiting) {
        const Question question = questions_.pop();
        if (answer(question, waiting)) {
            has_asked_[question.sender] = false;
        } else {
            questions_.push(question);
        }
    }
}

bool ChannelLeases::answer(const Question& question, std::size_t waiting) {
    const std::uint64_t all = free_.total();
    if (all == 0) return false;
    const std::uint64_t fair = (all + waiting - 1) / waiting;
    sharers_.clear();
    for (auto left = std::min<std::uint64_t>(question.payloads, fair); left > 0; --left) {
        const std::uint32_t receiver = free_.take();
        if (share_[receiver]++ == 0) sharers_.push_back(receiver);
    }
    bool answered = false;
    for (const std::uint32_t receiver : sharers_) {
        const std::uint32_t share = std::exchange(share_[receiver], 0);
        answered = tell(question.sender, FrameKind::lease, receiver, share,
                        receiver == sharers_.back() ? LeaseFrame::last : std::uint8_t{0});
        if (!answered) free_.add(receiver, share);
    }
    return answered;
}

SteadyClock::time_point ChannelLeases::recall(SteadyClock::time_point now) {
    bool due = false;
    auto next = SteadyClock::time_point::max();
    for (std::size_t i = 0; i < questions_.size(); ++i) {
        Question& question = questions_[i];
        if (now >= question.recall_at) {
            due = true;
            question.recall_every = std::min(question.recall_every * 4, longest_silence);
            question.recall_at = now + question.recall_every;
            static_cast<void>(tell(question.sender, FrameKind::lease, 0, 0));
        }
        next = std::min(next, question.recall_at);
    }
    if (due) recall_all();
    return next;
}

/// From those who have asked, too: they may hold some from before.
void ChannelLeases::recall_all() {
    for (std::uint32_t sender = 0; sender < shape_.senders; ++sender) {
        static_cast<void>(tell(sender, FrameKind::recall, 0, 0));
    }
}

void ChannelLeases::park(std::uint32_t receiver) {
    free_.park(receiver);
    recall_all();
}

bool ChannelLeases::tell(std::uint32_t sender, FrameKind kind, std::uint32_t receiver, std::uint32_t payloads,
                         std::uint8_t flags) {
    const Rank rank = shape_.first_sender + sender;
    const auto room = to_senders_[sender]->reserve(rank, sizeof(LeaseFrame));
    if (room.empty()) return false;
    const LeaseFrame frame{
        .head = {sizeof(LeaseFrame), shape_.number, kind, flags}, .receiver = receiver, .payloads = payloads};
    std::memcpy(room.data(), &frame, sizeof frame);
    to_senders_[sender]->commit(rank);
    return true;
}

}  // namespace penstock
