#include "simulate/model.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <queue>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "runtime/channel_leases.hpp"
#include "runtime/grant_window.hpp"

namespace penstock::bench {
namespace {

/// GrantWindow counts in ticks, of which a short while has about 33 us.
constexpr double ticks_per_ns = static_cast<double>(short_while) / 33'333.0;
constexpr double lease_time_ns = 1e6;  // OutChannel: how long a batch of leases is to last
constexpr double patience_ns = 2e6;    // ChannelLeases::patience
constexpr double longest_silence_ns = 1e9;
constexpr std::uint64_t inline_bytes = 1024;
constexpr std::uint64_t ticket_bytes = 96;
constexpr std::uint64_t frame_bytes = 32;

/// What the coordinator says, caught instead of sent.
class Outbox final : public Transport {
public:
    struct Frame {
        Rank to;
        LeaseFrame lease;
    };

    [[nodiscard]] std::string_view name() const noexcept override { return "simulated"; }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
    void connect(Rank) override {}
    [[nodiscard]] std::span<std::byte> reserve(Rank, std::size_t bytes) override { return {room_.data(), bytes}; }
    void commit(Rank peer) override {
        Frame frame{.to = peer, .lease = {}};
        std::memcpy(&frame.lease, room_.data(), sizeof frame.lease);
        frames.push_back(frame);
    }
    void flush() override {}
    [[nodiscard]] bool drained() const override { return true; }
    std::size_t poll(TransportEvents&) override { return 0; }
    void wait(std::chrono::nanoseconds) override {}
    void wake() noexcept override {}
    [[nodiscard]] int arm(std::chrono::nanoseconds&) override { return -1; }
    [[nodiscard]] const std::byte* map(const BlobRef&) override { return nullptr; }
    void fetch(const BlobRef&, std::span<std::byte>, std::uint64_t) override {}

    std::vector<Frame> frames = {};

private:
    Capabilities capabilities_{};
    alignas(8) std::array<std::byte, 64> room_{};
};

/// The coordinator's leases, fed by hand.
class Coordinator {
public:
    Coordinator(std::uint32_t producers, std::uint32_t workers, std::uint32_t capacity)
        : producers_{producers},
          transports_{own_outbox(), producers + workers + 1},
          reactor_{transports_, {}},
          leases_{ChannelShape{.number = 0,
                               .name = "simulated",
                               .dispatch = Dispatch::leased,
                               .first_sender = 1,
                               .senders = producers,
                               .first_receiver = 1 + producers,
                               .receivers = workers,
                               .capacity = capacity,
                               .capacity_bytes = 1},
                  reactor_} {}

    void grant(std::uint32_t worker, std::uint32_t payloads) {
        tell(1 + producers_ + worker, FrameKind::grant, 0, payloads);
    }
    void ask(std::uint32_t producer, std::uint32_t payloads) { tell(1 + producer, FrameKind::ask, 0, payloads); }
    void give_back(std::uint32_t producer, std::uint32_t worker, std::uint32_t payloads) {
        tell(1 + producer, FrameKind::give_back, worker, payloads);
    }
    void serve() { leases_.serve(); }
    void recall() { static_cast<void>(leases_.recall(SteadyClock::now() + std::chrono::hours{1})); }
    /// What it has said since the last call.
    [[nodiscard]] std::vector<Outbox::Frame> take() { return std::exchange(outbox_->frames, {}); }

private:
    [[nodiscard]] std::unique_ptr<Transport> own_outbox() {
        auto outbox = std::make_unique<Outbox>();
        outbox_ = outbox.get();
        return outbox;
    }
    void tell(Rank from, FrameKind kind, std::uint32_t receiver, std::uint32_t payloads) {
        const LeaseFrame frame{.head = {sizeof(LeaseFrame), 0, kind, 0}, .receiver = receiver, .payloads = payloads};
        leases_.on_frame(from, kind, std::as_bytes(std::span{&frame, 1}));
    }

    std::uint32_t producers_;
    Outbox* outbox_ = nullptr;
    TransportSet transports_;
    Reactor reactor_;
    ChannelLeases leases_;
};

enum class Event : std::uint8_t {
    producer_ready,
    to_rank0,
    rank0_done,
    lease,
    recall,
    ticket,
    payload,
    task_done,
    look
};
enum class ToRank0 : std::uint8_t { grant, ask, give_back, ticket, credit };

struct Message {
    ToRank0 kind = ToRank0::grant;
    std::uint32_t from = 0;
    std::uint32_t receiver = 0;
    std::uint32_t payloads = 0;
};

struct Happening {
    double time = 0;
    std::uint64_t order = 0;
    Event event;
    std::uint32_t who;
    std::uint32_t other = 0;
    std::uint32_t count = 0;
    bool last = false;
    ToRank0 kind = ToRank0::grant;

    [[nodiscard]] bool operator>(const Happening& that) const noexcept {
        return time != that.time ? time > that.time : order > that.order;
    }
};

class World {
public:
    explicit World(const Simulation& what)
        : what_{what},
          random_{what.seed},
          end_{what.seconds > 0 ? what.seconds * 1e9
                                : std::max(what.task_ns * std::max(30.0, 20'000.0 / what.workers), 20e6)},
          measured_from_{end_ / 4},
          window_at_rank0_{std::clamp(2 * what.workers / what.producers, 1U, 64U)},
          producers_(what.producers),
          workers_(what.workers, Worker{GrantWindow{what.capacity}}),
          ports_(1 + nodes(what.producers, what.producers_per_node) + nodes(what.workers, what.workers_per_node)) {
        if (what_.way == Way::leased) {
            coordinator_ = std::make_unique<Coordinator>(what.producers, what.workers, what.capacity);
        } else {
            for (std::uint32_t worker = 0; worker < what.workers; ++worker) idle_workers_.push_back(worker);
        }
    }

    [[nodiscard]] Simulated run() {
        for (std::uint32_t i = 0; i < what_.workers && what_.way == Way::leased; ++i) grant(i);
        for (std::uint32_t i = 0; i < what_.producers; ++i) at(now_, {.event = Event::producer_ready, .who = i});
        while (!happenings_.empty() && happenings_.top().time < end_) {
            const Happening next = happenings_.top();
            happenings_.pop();
            now_ = next.time;
            happen(next);
        }
        const double measured_ns = end_ - measured_from_;
        double busy = 0;
        for (const Worker& worker : workers_) busy += worker.busy_ns + (worker.busy ? share(worker.since, end_) : 0);
        const auto tasks = static_cast<double>(std::max<std::uint64_t>(completed_, 1));
        return {.tasks_per_s = static_cast<double>(completed_) / measured_ns * 1e9,
                .ideal_tasks_per_s = static_cast<double>(what_.workers) / what_.task_ns * 1e9,
                .rank0_load = std::min(1.0, rank0_busy_ns_ / measured_ns),
                .rank0_bytes_per_task = rank0_bytes_ / tasks,
                .rank0_frames_per_task = static_cast<double>(rank0_frames_) / tasks,
                .idle = 1 - busy / (measured_ns * static_cast<double>(what_.workers)),
                .most_queued = most_queued_};
    }

private:
    struct Producer {
        std::deque<std::pair<std::uint32_t, std::uint32_t>> held = {};  ///< worker, credits
        std::uint32_t leases = 0;
        std::uint32_t batch = 1;
        bool asked = false;
        bool ran_dry = false;
        bool waits = false;
        double heard_at = 0;
        std::uint32_t at_rank0 = 0;
        std::uint32_t question = 0;
    };
    struct Worker {
        explicit Worker(GrantWindow its_window) : window{its_window} {}
        GrantWindow window;
        std::uint64_t under_way = 0;
        std::uint64_t queued = 0;
        bool busy = false;
        double since = 0;
        double busy_ns = 0;
    };
    struct Port {
        double out_free = 0;
        double in_free = 0;
    };

    [[nodiscard]] static std::uint32_t nodes(std::uint32_t processes, std::uint32_t per_node) {
        return (processes + per_node - 1) / per_node;
    }
    [[nodiscard]] std::uint32_t node_of_producer(std::uint32_t i) const { return 1 + i / what_.producers_per_node; }
    [[nodiscard]] std::uint32_t node_of_worker(std::uint32_t i) const {
        return 1 + nodes(what_.producers, what_.producers_per_node) + i / what_.workers_per_node;
    }
    /// Of the measured time, what lies between these two.
    [[nodiscard]] double share(double from, double to) const {
        return std::max(0.0, std::min(to, end_) - std::max(from, measured_from_));
    }
    [[nodiscard]] bool is_measured() const { return now_ >= measured_from_; }

    void at(double time, Happening what) {
        what.time = time;
        what.order = order_++;
        happenings_.push(what);
    }

    /// @return when it is there.
    [[nodiscard]] double transfer(std::uint32_t from, std::uint32_t to, std::uint64_t bytes, double ready) {
        const double takes = static_cast<double>(bytes) / what_.network.bytes_per_ns;
        Port& out = ports_[from];
        out.out_free = std::max(out.out_free, ready) + takes;
        Port& in = ports_[to];
        in.in_free = std::max(in.in_free, out.out_free + what_.network.latency_ns - takes) + takes;
        return in.in_free;
    }

    void happen(const Happening& h) {
        switch (h.event) {
            case Event::producer_ready: return what_.way == Way::leased ? send_by_lease(h.who) : send_to_rank0(h.who);
            case Event::to_rank0:
                inbox_.push_back({.kind = h.kind, .from = h.who, .receiver = h.other, .payloads = h.count});
                if (!rank0_busy_) work_at_rank0();
                return;
            case Event::rank0_done:
                rank0_busy_ = false;
                if (!inbox_.empty()) work_at_rank0();
                return;
            case Event::lease: return on_lease(h);
            case Event::recall: return give_back(h.who);
            case Event::ticket: return on_ticket(h);
            case Event::payload: return on_payload(h.who);
            case Event::task_done: return on_task_done(h.who);
            case Event::look: return look_for_waiting(h.who, h.count);
        }
    }

    // --- rank 0 ---

    void tell_rank0(std::uint32_t node, Message message, std::uint64_t bytes) {
        at(transfer(node, 0, bytes, now_), {.event = Event::to_rank0,
                                            .who = message.from,
                                            .other = message.receiver,
                                            .count = message.payloads,
                                            .kind = message.kind});
    }

    void work_at_rank0() {
        const double cost = what_.way == Way::leased ? lease_out() : pass_on();
        rank0_busy_ = true;
        rank0_busy_ns_ += share(now_, now_ + cost);
        at(now_ + cost, {.event = Event::rank0_done, .who = 0});
    }

    /// Takes all that has come, then answers, as the coordinator's reactor does.
    [[nodiscard]] double lease_out() {
        double cost = 0;
        for (; !inbox_.empty(); inbox_.pop_front()) {
            const Message& message = inbox_.front();
            cost += what_.costs.frame_ns;
            if (is_measured()) ++rank0_frames_;
            if (message.kind == ToRank0::grant) coordinator_->grant(message.from, message.payloads);
            if (message.kind == ToRank0::give_back)
                coordinator_->give_back(message.from, message.receiver, message.payloads);
            if (message.kind == ToRank0::ask) {
                coordinator_->ask(message.from, message.payloads);
                Producer& producer = producers_[message.from];
                at(now_ + patience_ns, {.event = Event::look, .who = message.from, .count = ++producer.question});
            }
        }
        coordinator_->serve();
        return cost + send_leases(now_ + cost);
    }

    /// @return what it costs.
    [[nodiscard]] double send_leases(double ready) {
        double cost = 0;
        for (const Outbox::Frame& frame : coordinator_->take()) {
            const std::uint32_t producer = frame.to - 1;
            const double credits = frame.lease.payloads;
            const bool recall = frame.lease.head.kind == FrameKind::recall;
            cost += what_.costs.frame_ns + credits * what_.costs.choice_ns * std::log2(what_.workers);
            if (is_measured()) ++rank0_frames_;
            at(transfer(0, node_of_producer(producer), frame_bytes, ready + cost),
               {.event = recall ? Event::recall : Event::lease,
                .who = producer,
                .other = frame.lease.receiver,
                .count = frame.lease.payloads,
                .last = (frame.lease.head.flags & LeaseFrame::last) != 0});
        }
        return cost;
    }

    /// A question that is still open after so long makes the coordinator recall.
    void look_for_waiting(std::uint32_t producer, std::uint32_t question) {
        if (producers_[producer].question != question || !producers_[producer].asked) return;
        coordinator_->recall();
        rank0_busy_ns_ += share(now_, now_ + send_leases(now_));
        at(now_ + std::min(4 * patience_ns, longest_silence_ns),
           {.event = Event::look, .who = producer, .count = question});
    }

    /// Tickets to idle workers, one each, as they come.
    [[nodiscard]] double pass_on() {
        const Message message = inbox_.front();
        inbox_.pop_front();
        double cost = what_.costs.frame_ns;
        if (is_measured()) ++rank0_frames_;
        if (message.kind == ToRank0::credit) {
            idle_workers_.push_back(message.from);
        } else {
            tickets_.push_back(message.from);
            if (what_.way == Way::standard) {
                cost += static_cast<double>(what_.payload_bytes) / what_.costs.bytes_per_ns;
                if (is_measured()) rank0_bytes_ += static_cast<double>(what_.payload_bytes);
            }
        }
        while (!tickets_.empty() && !idle_workers_.empty()) {
            const std::uint32_t producer = tickets_.front();
            const std::uint32_t worker = idle_workers_.front();
            tickets_.pop_front();
            idle_workers_.pop_front();
            cost += what_.costs.ticket_ns;
            const bool by_value = what_.way == Way::standard;
            const std::uint64_t bytes = ticket_bytes + (by_value ? what_.payload_bytes : 0);
            at(transfer(0, node_of_worker(worker), bytes, now_ + cost),
               {.event = by_value ? Event::payload : Event::ticket, .who = worker, .other = producer});
            at(transfer(0, node_of_producer(producer), frame_bytes, now_ + cost),
               {.event = Event::lease, .who = producer});
        }
        return cost;
    }

    // --- producers ---

    void send_by_lease(std::uint32_t index) {
        Producer& producer = producers_[index];
        if (producer.leases == 0) {
            producer.waits = true;
            producer.ran_dry = true;
            return ask(index);
        }
        auto& [worker, credits] = producer.held.front();
        const std::uint32_t to = worker;
        if (--credits == 0) producer.held.pop_front();
        --producer.leases;
        const bool is_inline = what_.payload_bytes <= inline_bytes;
        const std::uint64_t bytes = ticket_bytes + (is_inline ? what_.payload_bytes : 0);
        at(transfer(node_of_producer(index), node_of_worker(to), bytes, now_),
           {.event = Event::ticket, .who = to, .other = index});
        if (producer.leases < producer.batch / 2) ask(index);
        at(now_ + what_.make_ns, {.event = Event::producer_ready, .who = index});
    }

    /// As OutChannel::ask.
    void ask(std::uint32_t index) {
        Producer& producer = producers_[index];
        if (std::exchange(producer.asked, true)) return;
        const bool was_used_up = std::exchange(producer.ran_dry, false);
        if (now_ - producer.heard_at > lease_time_ns) {
            producer.batch = std::max(producer.batch / 2, 1U);
        } else if (was_used_up) {
            producer.batch = std::min(2 * producer.batch, what_.capacity);
        }
        producer.heard_at = now_;
        tell_rank0(node_of_producer(index), {.kind = ToRank0::ask, .from = index, .payloads = producer.batch},
                   frame_bytes);
    }

    void on_lease(const Happening& h) {
        Producer& producer = producers_[h.who];
        if (what_.way == Way::leased) {
            producer.heard_at = now_;
            producer.asked = producer.asked && !h.last;
            producer.leases += h.count;
            if (h.count > 0) producer.held.emplace_back(h.other, h.count);
        } else {
            --producer.at_rank0;
        }
        const bool can_send = what_.way == Way::leased ? producer.leases > 0 : producer.at_rank0 < window_at_rank0_;
        if (can_send && std::exchange(producer.waits, false)) at(now_, {.event = Event::producer_ready, .who = h.who});
    }

    /// A producer that waits uses what it has before.
    void give_back(std::uint32_t index) {
        Producer& producer = producers_[index];
        producer.batch = std::max(producer.batch / 2, 1U);
        for (; !producer.held.empty(); producer.held.pop_front()) {
            const auto [worker, credits] = producer.held.front();
            tell_rank0(node_of_producer(index),
                       {.kind = ToRank0::give_back, .from = index, .receiver = worker, .payloads = credits},
                       frame_bytes);
        }
        producer.leases = 0;
    }

    void send_to_rank0(std::uint32_t index) {
        Producer& producer = producers_[index];
        if (producer.at_rank0 >= window_at_rank0_) {
            producer.waits = true;
            return;
        }
        ++producer.at_rank0;
        const bool by_value = what_.way == Way::standard || what_.payload_bytes <= inline_bytes;
        tell_rank0(node_of_producer(index), {.kind = ToRank0::ticket, .from = index},
                   ticket_bytes + (by_value ? what_.payload_bytes : 0));
        at(now_ + what_.make_ns, {.event = Event::producer_ready, .who = index});
    }

    // --- workers ---

    /// As InChannel::grant.
    void grant(std::uint32_t index) {
        Worker& worker = workers_[index];
        const std::uint64_t size = worker.window.size();
        if (worker.under_way >= size) return;
        const std::uint64_t more = size - worker.under_way;
        if (4 * more < size) return;
        worker.under_way += more;
        tell_rank0(node_of_worker(index),
                   {.kind = ToRank0::grant, .from = index, .payloads = static_cast<std::uint32_t>(more)}, frame_bytes);
    }

    /// The bytes come when they are asked for, but for few.
    void on_ticket(const Happening& h) {
        if (what_.payload_bytes <= inline_bytes) return on_payload(h.who);
        const double asked = transfer(node_of_worker(h.who), node_of_producer(h.other), frame_bytes, now_);
        at(transfer(node_of_producer(h.other), node_of_worker(h.who), what_.payload_bytes, asked),
           {.event = Event::payload, .who = h.who});
    }

    void on_payload(std::uint32_t index) {
        Worker& worker = workers_[index];
        ++worker.queued;
        most_queued_ = std::max(most_queued_, worker.queued);
        if (!worker.busy) begin_task(index);
    }

    void begin_task(std::uint32_t index) {
        Worker& worker = workers_[index];
        worker.busy = true;
        worker.since = now_;
        // Not std::exponential_distribution, whose numbers differ between libraries.
        const double uniform = static_cast<double>(random_() >> 11U) * 0x1p-53;
        const double takes = what_.is_uneven ? -std::log1p(-uniform) * what_.task_ns : what_.task_ns;
        at(now_ + takes, {.event = Event::task_done, .who = index});
    }

    void on_task_done(std::uint32_t index) {
        Worker& worker = workers_[index];
        worker.busy = false;
        worker.busy_ns += share(worker.since, now_);
        --worker.queued;
        if (is_measured()) ++completed_;
        if (what_.way == Way::leased) {
            --worker.under_way;
            worker.window.served(static_cast<std::uint64_t>((now_ - worker.since) * ticks_per_ns));
            grant(index);
        } else {
            tell_rank0(node_of_worker(index), {.kind = ToRank0::credit, .from = index}, frame_bytes);
        }
        if (worker.queued > 0) begin_task(index);
    }

    Simulation what_;
    std::mt19937_64 random_;
    double now_ = 0;
    double end_;
    double measured_from_;
    std::uint32_t window_at_rank0_;  // tickets of a producer, of proxy and default
    std::uint64_t order_ = 0;
    std::priority_queue<Happening, std::vector<Happening>, std::greater<>> happenings_;
    std::vector<Producer> producers_;
    std::vector<Worker> workers_;
    std::vector<Port> ports_;
    std::unique_ptr<Coordinator> coordinator_;
    std::deque<Message> inbox_;
    std::deque<std::uint32_t> tickets_;       // of proxy and default: by whom
    std::deque<std::uint32_t> idle_workers_;  // of proxy and default
    bool rank0_busy_ = false;
    double rank0_busy_ns_ = 0;
    double rank0_bytes_ = 0;
    std::uint64_t rank0_frames_ = 0;
    std::uint64_t completed_ = 0;
    std::uint64_t most_queued_ = 0;
};

/// Ns for a round in which 16 consumers grant one credit each and a producer is leased all of them.
[[nodiscard]] double round_ns(std::uint32_t workers) {
    constexpr std::uint32_t credits = 16;
    Coordinator coordinator{2, workers, 64};
    double best = 1e12;
    for (int round = 0; round < 300; ++round) {
        const auto start = SteadyClock::now();
        for (std::uint32_t i = 0; i < credits; ++i) coordinator.grant(i * (workers / credits), 1);
        coordinator.ask(0, credits);
        coordinator.serve();
        const std::chrono::duration<double, std::nano> took = SteadyClock::now() - start;
        static_cast<void>(coordinator.take());
        best = std::min(best, took.count());
    }
    return best;
}

}  // namespace

std::string_view name_of(Way way) noexcept {
    switch (way) {
        case Way::leased: return "leased";
        case Way::proxy: return "proxy";
        case Way::standard: return "default";
    }
    return "";
}

Rank0Costs measured_costs() {
    // 17 frames in, 16 out, and 16 choices among 2^4 or 2^13 consumers.
    const double few = round_ns(16);
    const double many = round_ns(8192);
    Rank0Costs costs;
    costs.choice_ns = std::max(0.0, (many - few) / (16.0 * (13 - 4)));
    costs.frame_ns += std::max(1.0, (few - 16 * 4 * costs.choice_ns) / 33);
    return costs;
}

Simulated simulate(const Simulation& what) {
    if (what.workers == 0 || what.producers < 2 || what.workers_per_node == 0 || what.producers_per_node == 0 ||
        what.capacity == 0 || !(what.task_ns > 0)) {
        throw std::invalid_argument{"a simulation needs a worker, two producers and tasks that take time"};
    }
    return World{what}.run();
}

}  // namespace penstock::bench
