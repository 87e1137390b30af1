#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "memory/arena.hpp"
#include "runtime/broker.hpp"
#include "runtime/channel_leases.hpp"
#include "runtime/drafts.hpp"
#include "runtime/in_channel.hpp"
#include "runtime/out_channel.hpp"
#include "runtime/reactor.hpp"
#include "transports/make.hpp"
#include "transports/shm/shm_transport.hpp"

namespace penstock::test {

inline constexpr std::chrono::seconds longest_wait{20};

/// The exchange among ranks that live in one process, a thread each while they meet.
class Meeting {
public:
    explicit Meeting(Rank size) : open_(size) {}

    [[nodiscard]] std::vector<std::string> allgather(Rank rank, const std::string& mine) {
        std::unique_lock lock{mutex_};
        const std::size_t round = round_;
        open_[rank] = mine;
        if (++arrived_ == open_.size()) {
            closed_ = open_;
            arrived_ = 0;
            ++round_;
            changed_.notify_all();
        } else if (!changed_.wait_for(lock, longest_wait, [&] { return round_ != round; })) {
            throw Error{Errc::timed_out, "not every rank came to the meeting"};
        }
        return closed_;
    }
    [[nodiscard]] Rank size() const noexcept { return static_cast<Rank>(open_.size()); }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::string> open_;
    std::vector<std::string> closed_;
    std::size_t arrived_ = 0;
    std::size_t round_ = 0;
};

class MeetingBootstrap final : public Bootstrap {
public:
    MeetingBootstrap(Meeting& meeting, Rank rank) noexcept : meeting_{meeting}, rank_{rank} {}
    [[nodiscard]] Rank rank() const noexcept override { return rank_; }
    [[nodiscard]] Rank size() const noexcept override { return meeting_.size(); }
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override {
        return meeting_.allgather(rank_, mine);
    }

private:
    Meeting& meeting_;
    Rank rank_;
};

/// Shared-memory transports of several ranks in one process, one for each arena.
[[nodiscard]] inline std::vector<std::unique_ptr<Transport>> connect_arenas(std::deque<Arena>& arenas) {
    Meeting meeting{static_cast<Rank>(arenas.size())};
    std::vector<std::future<std::unique_ptr<Transport>>> made;
    for (Rank rank = 0; rank < arenas.size(); ++rank) {
        made.push_back(std::async(std::launch::async, [&meeting, &arenas, rank]() -> std::unique_ptr<Transport> {
            MeetingBootstrap bootstrap{meeting, rank};
            return std::make_unique<ShmTransport>(bootstrap, arenas[rank]);
        }));
    }
    std::vector<std::unique_ptr<Transport>> transports;
    for (auto& one : made) transports.push_back(one.get());
    return transports;
}

/// What a process of a run has, for one rank. Made and used by one thread.
struct Endpoint {
    Endpoint(Rank number, Rank ranks, Arena& its_arena, std::unique_ptr<Transport> transport, Idle idle)
        : rank{number},
          arena{its_arena},
          transports{std::move(transport), ranks},
          reactor{transports, {.idle = idle, .cores_to_spare = false}},
          drafts{number, its_arena, bodies, reactor} {
        reactor.set_housekeeping([this] {
            drafts.collect();
            for (OutChannel* output : outputs) output->pump();
        });
    }
    ~Endpoint() {
        while (!ready.empty()) drop_reference(ready.pop());
    }
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;

    [[nodiscard]] Transport& transport() const { return *transports.all().front(); }

    Rank rank;
    Arena& arena;
    TransportSet transports;
    Reactor reactor;
    BodyPool bodies;
    Drafts drafts;
    ReadyQueue ready{64};
    std::vector<OutChannel*> outputs;
};

/// Endpoints in one thread. An endpoint that waits lets the others take a turn instead of sleeping, so that nothing
/// depends on time; a world in which nothing moves any more fails the test instead of hanging it.
class World {
public:
    using Wrap = std::function<std::unique_ptr<Transport>(Rank, std::unique_ptr<Transport>)>;
    struct Options {
        Rank ranks = 2;
        std::size_t arena_bytes = std::size_t{16} << 20U;
        Wrap wrap = {};  ///< Puts something around the transport of a rank.
    };

    explicit World(const Options& options) : turns_(options.ranks) {
        for (Rank rank = 0; rank < options.ranks; ++rank) arenas_.emplace_back(options.arena_bytes);
        auto transports = connect_arenas(arenas_);
        for (Rank rank = 0; rank < options.ranks; ++rank) {
            auto transport = std::move(transports[rank]);
            if (options.wrap) transport = options.wrap(rank, std::move(transport));
            transport = std::make_unique<Yielding>(*this, rank, std::move(transport));
            endpoints_.emplace_back(rank, options.ranks, arenas_[rank], std::move(transport), Idle::block);
        }
    }

    [[nodiscard]] Endpoint& operator[](Rank rank) { return endpoints_[rank]; }

    /// What a rank does when it has its turn, after polling.
    void on_turn(Rank rank, std::function<void()> act) { turns_[rank].act = std::move(act); }

    /// Gives everybody a turn who is not in one already.
    void turn() { turn_of_all_but(static_cast<Rank>(endpoints_.size())); }

    /// Goes on until it is done.
    template <class Done>
    void run_until(Done&& done) {
        while (!done()) turn();
    }

private:
    struct Turn {
        std::function<void()> act;
        bool taken = false;
    };

    class Yielding final : public Transport {
    public:
        Yielding(World& world, Rank rank, std::unique_ptr<Transport> inner)
            : world_{world}, rank_{rank}, inner_{std::move(inner)} {}
        [[nodiscard]] std::string_view name() const noexcept override { return inner_->name(); }
        [[nodiscard]] const Capabilities& capabilities() const noexcept override { return inner_->capabilities(); }
        void connect(Rank peer) override { inner_->connect(peer); }
        [[nodiscard]] std::span<std::byte> reserve(Rank peer, std::size_t bytes) override {
            return inner_->reserve(peer, bytes);
        }
        void commit(Rank peer) override { inner_->commit(peer); }
        void flush() override { inner_->flush(); }
        [[nodiscard]] bool drained() const override { return inner_->drained(); }
        std::size_t poll(TransportEvents& events) override { return inner_->poll(events); }
        void wait(std::chrono::nanoseconds) override { world_.turn_of_all_but(rank_); }
        void wake() noexcept override { inner_->wake(); }
        [[nodiscard]] int arm(std::chrono::nanoseconds& timeout) override { return inner_->arm(timeout); }
        void disarm() override { inner_->disarm(); }
        [[nodiscard]] const std::byte* map(const BlobRef& blob) override { return inner_->map(blob); }
        void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) override {
            inner_->fetch(blob, into, token);
        }

    private:
        World& world_;
        Rank rank_;
        std::unique_ptr<Transport> inner_;
    };

    void turn_of_all_but(Rank waiting) {
        if (SteadyClock::now() > deadline_) throw std::runtime_error{"the world stands still"};
        for (Endpoint& endpoint : endpoints_) endpoint.reactor.flush();
        for (Rank rank = 0; rank < endpoints_.size(); ++rank) {
            Turn& turn = turns_[rank];
            if (rank == waiting || turn.taken) continue;
            turn.taken = true;
            const auto end = [](Turn* taken) { taken->taken = false; };
            const std::unique_ptr<Turn, decltype(end)> in_turn{&turn, end};
            endpoints_[rank].reactor.poll();
            if (turn.act) turn.act();
            endpoints_[rank].reactor.flush();
        }
    }

    SteadyClock::time_point deadline_ = SteadyClock::now() + longest_wait;
    std::deque<Arena> arenas_;
    std::vector<Turn> turns_;
    std::deque<Endpoint> endpoints_;
};

/// The sending end of a channel, as an instance uses it.
class Sender {
public:
    Sender(Endpoint& at, const ChannelShape& shape) : out{shape, at.reactor, at.drafts, status}, at_{at} {
        at.outputs.push_back(&out);
    }
    ~Sender() { std::erase(at_.outputs, &out); }
    Sender(const Sender&) = delete;
    Sender& operator=(const Sender&) = delete;

    /// A payload of that many bytes, all of them `value`'s lowest byte but for the value itself at the front.
    [[nodiscard]] PayloadBody* make(std::uint64_t value, std::size_t bytes = sizeof(std::uint64_t)) {
        PayloadBody* body = at_.drafts.make(DType::bytes, Shape{bytes});
        auto* blob = const_cast<std::byte*>(body->data);
        std::memset(blob, static_cast<int>(value & 0xFFU), bytes);
        std::memcpy(blob, &value, std::min(bytes, sizeof value));
        body->id = {at_.rank, out.number(), value};
        body->has_id = true;
        return body;
    }
    void publish(std::uint64_t value, std::size_t bytes = sizeof(std::uint64_t)) { out.publish(make(value, bytes)); }

    ChannelStatus status;  // before the channel, which writes to it
    OutChannel out;

private:
    Endpoint& at_;
};

[[nodiscard]] inline std::uint64_t value_of(const Payload& payload) {
    std::uint64_t value = 0;
    const auto blob = payload.bytes();
    std::memcpy(&value, blob.data(), std::min(blob.size(), sizeof value));
    return value;
}

/// The receiving end of the only input of an endpoint, as an instance uses it.
class Receiver {
public:
    Receiver(Endpoint& at, const ChannelShape& shape)
        : in{shape, at.reactor, at.drafts, at.arena, at.bodies, at.ready, status}, at_{at} {}
    ~Receiver() {
        values.clear();
        while (!at_.ready.empty()) drop_reference(at_.ready.pop());
    }
    Receiver(const Receiver&) = delete;
    Receiver& operator=(const Receiver&) = delete;

    /// The next payload, with its credit given back. Empty if none waits.
    [[nodiscard]] Payload take() {
        if (at_.ready.empty()) return {};
        Payload payload{at_.ready.pop()};
        in.taken();
        in.return_credit(payload.body()->edge, payload.size_bytes());
        return payload;
    }
    /// Takes all that wait, settles them and tells the senders.
    void read() {
        while (const Payload payload = take()) values.push_back(value_of(payload));
        in.flush_returns();
    }

    std::vector<std::uint64_t> values;  ///< What `read` has read.
    ChannelStatus status;
    InChannel in;

private:
    Endpoint& at_;
};

/// A channel with `senders` at ranks 0 and up, and `receivers` behind them.
[[nodiscard]] inline ChannelShape channel_shape(std::uint32_t senders, std::uint32_t receivers) {
    return {.number = 0,
            .name = "edge",
            .first_sender = 0,
            .senders = senders,
            .first_receiver = senders,
            .receivers = receivers,
            .capacity = 64,
            .capacity_bytes = std::uint64_t{64} << 20U};
}

/// The same, leased: the coordinator is rank 0, the senders follow it.
[[nodiscard]] inline ChannelShape leased_shape(std::uint32_t senders, std::uint32_t receivers) {
    ChannelShape shape = channel_shape(senders, receivers);
    shape.dispatch = Dispatch::leased;
    shape.first_sender = 1;
    shape.first_receiver = 1 + senders;
    return shape;
}

/// The same, central.
[[nodiscard]] inline ChannelShape central_shape(std::uint32_t senders, std::uint32_t receivers,
                                                PassBy by = PassBy::reference) {
    ChannelShape shape = leased_shape(senders, receivers);
    shape.dispatch = Dispatch::central;
    shape.by = by;
    return shape;
}

/// A world of one channel.
struct ChannelWorld {
    explicit ChannelWorld(const ChannelShape& channel, World::Wrap wrap = {})
        : shape{channel}, world{{.ranks = shape.first_receiver + shape.receivers, .wrap = std::move(wrap)}} {
        if (shape.asks_coordinator()) {
            leases = std::make_unique<ChannelLeases>(shape, world[0].reactor);
            world[0].reactor.set_housekeeping([this] { leases->serve(); });
            world.on_turn(0, [this] { static_cast<void>(leases->recall(SteadyClock::now())); });
        }
        if (shape.dispatch == Dispatch::central) {
            Endpoint& at = world[0];
            broker = std::make_unique<Broker>(shape, Broker::Process{at.reactor, at.drafts, at.arena, at.bodies},
                                              copies_at_broker);
            at.reactor.set_housekeeping([this] { broker->pump(); });
            world.on_turn(0, [this] { broker->pump(); });
        }
        for (std::uint32_t i = 0; i < shape.senders; ++i) {
            senders.emplace_back(world[shape.first_sender + i], sending_leg(shape));
        }
        for (std::uint32_t i = 0; i < shape.receivers; ++i) {
            receivers.emplace_back(world[shape.first_receiver + i], receiving_leg(shape));
        }
    }

    /// From now on a receiver reads whenever it has its turn.
    void let_read(std::size_t receiver) {
        world.on_turn(shape.first_receiver + static_cast<Rank>(receiver),
                      [this, receiver] { receivers[receiver].read(); });
    }
    void let_all_read() {
        for (std::size_t i = 0; i < receivers.size(); ++i) let_read(i);
    }
    /// Ends the stream as instances do.
    void end() {
        let_all_read();
        for (Sender& sender : senders) sender.out.end();
        for (Receiver& receiver : receivers) {
            world.run_until([&] { return receiver.in.ended() && receiver.in.all_settled(); });
            receiver.in.acknowledge();
        }
        for (Sender& sender : senders) world.run_until([&] { return sender.out.finished(); });
    }

    ChannelShape shape;
    World world;
    static constexpr std::uint64_t copies_at_broker = std::uint64_t{8} << 20U;

    std::unique_ptr<ChannelLeases> leases;  // of the coordinator, if it has any
    std::unique_ptr<Broker> broker;         // likewise
    std::deque<Sender> senders;
    std::deque<Receiver> receivers;
};

}  // namespace penstock::test
