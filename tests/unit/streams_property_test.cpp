// Random small graphs of instances, a thread each, over the real rings and doorbells: whatever the routes, capacities
// and times that payloads are held, everything that was published arrives, is settled and ends, and nothing waits for
// ever.

#include <algorithm>
#include <array>
#include <atomic>
#include <map>
#include <mutex>
#include <random>
#include <thread>

#include <gtest/gtest.h>

#include "support/in_process_world.hpp"

namespace penstock::test {
namespace {

constexpr std::size_t arena_bytes = std::size_t{8} << 20U;

struct StagePlan {
    Rank first_rank;
    std::uint32_t instances;
    std::vector<std::uint16_t> inputs;
    std::vector<std::uint16_t> outputs;
};

struct Graph {
    std::vector<StagePlan> stages;
    std::vector<ChannelShape> channels;
    std::vector<std::size_t> to;  ///< Stage that a channel leads to.
    std::uint64_t payloads;       ///< Of every source instance.
    Rank ranks = 1;               ///< The coordinator is rank 0.
};

[[nodiscard]] Graph random_graph(unsigned seed) {
    std::mt19937 random{seed};
    const auto pick = [&](std::uint32_t least, std::uint32_t most) {
        return std::uniform_int_distribution<std::uint32_t>{least, most}(random);
    };
    Graph graph;
    graph.payloads = pick(1, 400);
    for (unsigned stages = pick(2, 4); stages > 0; --stages) {
        graph.stages.push_back({.first_rank = graph.ranks, .instances = pick(1, 2), .inputs = {}, .outputs = {}});
        graph.ranks += graph.stages.back().instances;
    }
    for (std::size_t to = 1; to < graph.stages.size(); ++to) {
        // At least one way from the stages before; sometimes several, so that paths meet again.
        const std::size_t sure = random() % to;
        for (std::size_t from = 0; from < to; ++from) {
            if (from != sure && random() % 3 != 0) continue;
            const auto number = static_cast<std::uint16_t>(graph.channels.size());
            ChannelShape shape{.number = number,
                               .name = "channel-" + std::to_string(number),
                               .first_sender = graph.stages[from].first_rank,
                               .senders = graph.stages[from].instances,
                               .first_receiver = graph.stages[to].first_rank,
                               .receivers = graph.stages[to].instances,
                               .capacity = random() % 2 == 0 ? pick(1, 3) : pick(4, 64),
                               .capacity_bytes = random() % 2 == 0 ? pick(1, 5000) : 64U << 20U};
            shape.route = std::array{Route::balance, Route::round_robin, Route::hash, Route::broadcast}[random() % 4];
            shape.key = "key";
            if (shape.route == Route::balance && random() % 2 == 0) shape.dispatch = Dispatch::leased;
            if (random() % 3 == 0) shape.dispatch = Dispatch::central;
            if (random() % 3 == 0) shape.by = PassBy::value;
            if (random() % 4 == 0) shape.filter = "value < " + std::to_string(pick(0, 400));
            graph.channels.push_back(shape);
            graph.to.push_back(to);
            graph.stages[from].outputs.push_back(number);
            graph.stages[to].inputs.push_back(number);
        }
    }
    return graph;
}

[[nodiscard]] bool passes(const ChannelShape& shape, std::uint64_t value) {
    return shape.filter.empty() || value < std::stoull(shape.filter.substr(shape.filter.rfind(' ')));
}

/// How often each source payload, by instance and number, came to a stage.
using Arrivals = std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t>;

/// How often it should: over every way from a source, once for each receiver of a broadcast.
[[nodiscard]] std::vector<Arrivals> expected_arrivals(const Graph& graph) {
    std::vector<Arrivals> expected(graph.stages.size());
    for (std::size_t stage = 0; stage < graph.stages.size(); ++stage) {
        Arrivals passing = expected[stage];
        if (graph.stages[stage].inputs.empty()) {
            for (std::uint32_t i = 0; i < graph.stages[stage].instances; ++i) {
                for (std::uint64_t n = 0; n < graph.payloads; ++n) passing[{graph.stages[stage].first_rank + i, n}] = 1;
            }
        }
        for (const std::uint16_t output : graph.stages[stage].outputs) {
            const ChannelShape& shape = graph.channels[output];
            const std::uint64_t times = shape.route == Route::broadcast ? shape.receivers : 1;
            for (const auto& [id, count] : passing) {
                if (passes(shape, id.second)) expected[graph.to[output]][id] += count * times;
            }
        }
    }
    return expected;
}

/// One instance, as `Instance` runs it, with an operator that holds payloads for random times.
class RandomInstance {
public:
    RandomInstance(const Graph& graph, std::size_t stage, Rank rank, unsigned seed, Endpoint& at)
        : graph_{graph},
          stage_{graph.stages[stage]},
          at_{at},
          random_{seed * 1009 + rank},
          deadline_{SteadyClock::now() + longest_wait} {
        for (const std::uint16_t input : stage_.inputs) {
            in_status_.emplace_back();
            inputs_.emplace_back(receiving_leg(graph.channels[input]), at.reactor, at.drafts, at.arena, at.bodies,
                                 at.ready, in_status_.back());
            input_of_[input] = &inputs_.back();
        }
        for (const std::uint16_t output : stage_.outputs)
            outputs_.emplace_back(at, sending_leg(graph.channels[output]));
        // Waits inside the channels end here, too, when the time is over.
        at.reactor.set_housekeeping([this] {
            at_.drafts.collect();
            for (Sender& output : outputs_) output.out.pump();
            check_time();
        });
    }
    ~RandomInstance() {
        held_.clear();
        at_.reactor.set_housekeeping({});
        while (!at_.ready.empty()) drop_reference(at_.ready.pop());
    }
    RandomInstance(const RandomInstance&) = delete;
    RandomInstance& operator=(const RandomInstance&) = delete;

    void run() {
        if (stage_.inputs.empty()) {
            for (std::uint64_t i = 0; i < graph_.payloads; ++i) produce(i);
        } else {
            while (!all_ended()) step();
        }
        held_.clear();
        for (Sender& output : outputs_) output.out.end();
        for (Sender& output : outputs_) {
            while (!output.out.finished()) wait();
        }
        for (InChannel& input : inputs_) {
            while (!input.all_settled()) wait();
            input.acknowledge();
        }
        while (!at_.reactor.drained()) wait();
    }
    /// What a finished instance still does: it gives back leases that come late.
    void linger() { wait(); }

    Arrivals arrivals;

private:
    void check_time() const {
        if (SteadyClock::now() < deadline_) return;
        std::string report = "stuck:";
        for (const Sender& output : outputs_) report += " [" + output.out.describe() + "]";
        throw std::runtime_error{report};
    }
    void flush_returns() {
        for (InChannel& input : inputs_) input.flush_returns();
    }
    void wait() {
        flush_returns();
        check_time();
        at_.reactor.wait(Activity::waiting_for_input, 0, std::chrono::milliseconds{10});
    }
    [[nodiscard]] bool all_ended() {
        return at_.ready.empty() &&
               std::all_of(inputs_.begin(), inputs_.end(), [](const InChannel& in) { return in.ended(); });
    }

    void produce(std::uint64_t number) {
        if (number % 16 == 0) check_time();
        const std::size_t bytes = 8 + random_() % (random_() % 8 == 0 ? 20'000 : 300);
        for (std::size_t output = 0; output < outputs_.size(); ++output) {
            RawDraft draft{outputs_[output].make(number, bytes)};
            draft.set("key", static_cast<std::int64_t>(random_() % 10));
            draft.set("value", number);
            outputs_[output].out.publish(draft.release());
        }
    }

    void step() {
        if (at_.ready.empty() && !at_.reactor.poll()) return wait();
        if (at_.ready.empty()) return;
        PayloadBody* body = at_.ready.pop();
        InChannel& input = *input_of_.at(body->channel);
        const std::uint32_t edge = body->edge;
        const std::uint64_t bytes = body->size_bytes;
        input.taken();
        operate(Payload{body});
        input.return_credit(edge, bytes);
        if (random_() % 8 == 0) flush_returns();
    }

    void operate(Payload payload) {
        ++arrivals[{payload.id().instance, value_of(payload)}];
        const auto blob = payload.bytes();
        const bool whole = std::all_of(blob.begin() + 8, blob.end(), [&](std::byte byte) {
            return byte == static_cast<std::byte>(value_of(payload));
        });
        EXPECT_TRUE(whole);
        for (Sender& output : outputs_) emit(payload, output);
        // Some are kept for a while, as a window would; some of those are dropped by another thread.
        if (random_() % 3 == 0) held_.push_back(payload);
        while (held_.size() > 5) {
            std::swap(held_[random_() % held_.size()], held_.back());
            Payload last = std::move(held_.back());
            held_.pop_back();
            if (random_() % 32 == 0) std::jthread{[dropped = std::move(last)]() mutable { dropped = Payload{}; }};
        }
    }

    void emit(const Payload& payload, Sender& output) {
        if (random_() % 2 == 0) {
            add_reference(payload.body());
            return output.out.publish(payload.body());
        }
        PayloadBody* made = output.make(value_of(payload), payload.size_bytes());
        made->id = payload.id();
        made->parent = payload.body();
        add_reference(payload.body());
        RawDraft draft{made};
        draft.set("key", payload.metadata().integer("key").value());
        draft.set("value", payload.metadata().integer("value").value());
        output.out.publish(draft.release());
    }

    const Graph& graph_;
    const StagePlan& stage_;
    Endpoint& at_;
    std::mt19937 random_;
    SteadyClock::time_point deadline_;
    std::deque<ChannelStatus> in_status_;
    std::deque<InChannel> inputs_;
    std::deque<Sender> outputs_;
    std::map<std::uint16_t, InChannel*> input_of_;
    std::vector<Payload> held_;
};

class RandomGraphs : public ::testing::TestWithParam<unsigned> {};

TEST_P(RandomGraphs, DeliverSettleAndEndEverything) {
    const unsigned seed = GetParam();
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Graph graph = random_graph(seed);
    std::deque<Arena> arenas;
    for (Rank rank = 0; rank < graph.ranks; ++rank) arenas.emplace_back(arena_bytes);
    auto transports = connect_arenas(arenas);
    std::mutex mutex;
    std::vector<Arrivals> arrived(graph.stages.size());
    std::vector<std::string> errors;

    const std::size_t instances = graph.ranks - 1;
    std::atomic<std::size_t> finished{0};
    {
        std::vector<std::jthread> threads;
        threads.emplace_back([&] {
            Endpoint at{0, graph.ranks, arenas[0], std::move(transports[0]), Idle::adaptive};
            std::deque<ChannelLeases> leases;
            std::deque<Broker> brokers;
            for (const ChannelShape& shape : graph.channels) {
                if (shape.asks_coordinator()) leases.emplace_back(shape, at.reactor);
                if (shape.dispatch != Dispatch::central) continue;
                brokers.emplace_back(shape, Broker::Process{at.reactor, at.drafts, at.arena, at.bodies},
                                     arena_bytes / graph.channels.size());
            }
            at.reactor.set_housekeeping([&] {
                for (ChannelLeases& channel : leases) channel.serve();
                for (Broker& channel : brokers) channel.pump();
            });
            const std::size_t used = arenas[0].used_bytes();
            while (finished < instances) {
                at.reactor.wait(Activity::waiting_for_input, 0, ChannelLeases::patience);
                for (ChannelLeases& channel : leases) static_cast<void>(channel.recall(SteadyClock::now()));
                at.reactor.flush();
            }
            EXPECT_EQ(arenas[0].used_bytes(), used) << "the coordinator keeps copies";
        });
        for (std::size_t stage = 0; stage < graph.stages.size(); ++stage) {
            for (std::uint32_t i = 0; i < graph.stages[stage].instances; ++i) {
                const Rank rank = graph.stages[stage].first_rank + i;
                threads.emplace_back([&, stage, rank] {
                    Endpoint at{rank, graph.ranks, arenas[rank], std::move(transports[rank]), Idle::adaptive};
                    RandomInstance instance{graph, stage, rank, seed, at};
                    const std::size_t used = arenas[rank].used_bytes();
                    std::string error;
                    try {
                        instance.run();
                    } catch (const std::exception& failure) {
                        error = failure.what();
                    }
                    ++finished;
                    while (error.empty() && finished < instances) {
                        try {
                            instance.linger();
                        } catch (const std::exception& failure) {
                            error = failure.what();
                        }
                    }
                    const std::lock_guard lock{mutex};
                    for (const auto& [id, count] : instance.arrivals) arrived[stage][id] += count;
                    if (!error.empty()) errors.push_back("rank " + std::to_string(rank) + ": " + error);
                    if (error.empty()) {
                        EXPECT_EQ(arenas[rank].used_bytes(), used)
                            << "rank " << rank << " has memory in use at its end";
                    }
                });
            }
        }
    }

    for (const std::string& error : errors) ADD_FAILURE() << error;
    const auto expected = expected_arrivals(graph);
    for (std::size_t stage = 1; stage < graph.stages.size(); ++stage) {
        EXPECT_EQ(arrived[stage], expected[stage]) << "stage " << stage;
    }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomGraphs, ::testing::Range(1U, 41U));

}  // namespace
}  // namespace penstock::test
