#include "doctor/peers.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/clock.hpp"
#include "base/cores.hpp"
#include "base/deadline.hpp"
#include "base/format.hpp"
#include "doctor/figures.hpp"
#include "doctor/tournament.hpp"
#include "launch/process_identity.hpp"
#include "memory/arena.hpp"
#include "transports/make.hpp"

namespace penstock::doctor {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t blob_bytes = std::size_t{1} << 20U;
constexpr std::size_t in_flight = 4;
constexpr std::size_t most_round_trips = 1000;
constexpr std::size_t fewest_round_trips = 5;
constexpr std::size_t first_round_trips = 3;  // open connections, and are not counted
constexpr std::size_t most_fetches = 256;
constexpr std::chrono::nanoseconds shortest_turn = 200us;
constexpr std::chrono::nanoseconds longest_turn = 500ms;
constexpr std::chrono::nanoseconds pause_time = 50us;
constexpr std::chrono::nanoseconds spin_time = 1ms;
constexpr std::chrono::nanoseconds longest_nap = 1ms;
constexpr std::size_t longest_text = 400;

enum class Kind : std::uint32_t {
    here,   ///< To rank 0: this rank takes part.
    begin,  ///< From rank 0: measure yourself with `peer`.
    ping,   ///< Answer with a pong.
    pong,
    result,  ///< To rank 0. The text is the transport's name, or the problem.
    stop,    ///< From rank 0: all is done.
};

/// Followed by text.
struct Message {
    Kind kind = Kind::stop;
    Rank peer = 0;
    std::uint64_t number = 0;
    double latency_us = 0;
    double bytes_per_s = 0;
};

struct Received {
    Rank from;
    Message message;
    std::string text;
};

/// `allgather` of a value.
template <class Value>
[[nodiscard]] std::vector<Value> exchange(Bootstrap& bootstrap, const Value& mine) {
    std::vector<Value> all;
    for (const std::string& text : bootstrap.allgather({reinterpret_cast<const char*>(&mine), sizeof mine})) {
        if (text.size() != sizeof mine) throw Error{Errc::internal, "a rank of another version takes part"};
        std::memcpy(&all.emplace_back(), text.data(), sizeof mine);
    }
    return all;
}

/// What the blob and the outboxes to that many ranks take.
[[nodiscard]] std::uint64_t room_for(Rank ranks) noexcept {
    return (std::uint64_t{8} << 20U) + std::uint64_t{ranks} * (512U << 10U);
}

}  // namespace

bool PeerMatrix::is_complete() const {
    return std::all_of(pairs.begin(), pairs.end(), [](const PairFigures& pair) { return pair.problem.empty(); });
}

struct PeerProbe::State final : TransportEvents {
    State(Bootstrap& bootstrap, const PeerOptions& how)
        : options{how},
          self{bootstrap.rank()},
          ranks{bootstrap.size()},
          hosts{bootstrap.allgather(host_name())},
          arena{std::max(how.arena_bytes, room_for(ranks))},
          buffers{in_flight, std::vector<std::byte>(blob_bytes)},
          transports{bootstrap, arena},
          blobs{exchange(bootstrap, publish())},
          lost(ranks),
          routes(ranks),
          reasons(ranks) {
        for (Rank peer = 0; peer < ranks; ++peer) open(peer);
    }

    // --- events ---

    void on_frame(Rank from, std::span<const std::byte> frame) override {
        Received received{.from = from, .message = {}, .text = {}};
        if (frame.size() < sizeof received.message || frame.size() > sizeof received.message + longest_text) return;
        std::memcpy(&received.message, frame.data(), sizeof received.message);
        const auto text = frame.subspan(sizeof received.message);
        received.text.assign(reinterpret_cast<const char*>(text.data()), text.size());
        inbox.push_back(std::move(received));
    }
    void on_fetched(std::uint64_t token, std::string_view error) override {
        if (token < first_token) return;  // of a pair that was given up
        ++fetched;
        if (!error.empty()) fetch_error = error;
    }
    void on_lost(Rank peer, std::string_view reason) override {
        if (lost[peer].empty()) lost[peer] = reason.empty() ? "it is gone" : reason;
    }

    // --- messages ---

    [[nodiscard]] BlobRef publish() {
        const auto block = arena.allocate(blob_bytes);
        if (!block) throw Error{Errc::exhausted, "no room in the arena for what the ranks fetch"};
        std::memset(arena.at(block->offset), 0x5a, blob_bytes);
        return {.owner = self, .offset = block->offset, .bytes = blob_bytes};
    }

    void open(Rank peer) {
        if (peer == self) return;
        try {
            const auto [transport, reason] = transports.choose(peer, "auto");
            transport->connect(peer);
            ++chosen[fmt::format("{} ({})", transport->name(), reason)];
            routes[peer] = transport;
            if (std::find(active.begin(), active.end(), transport) == active.end()) active.push_back(transport);
        } catch (const Error& error) {
            reasons[peer] = error.what();
        }
    }

    [[nodiscard]] std::string name(Rank rank) const { return fmt::format("rank {} on {}", rank, hosts[rank]); }

    [[nodiscard]] bool try_send(Rank to, const Message& message, std::string_view text) {
        text = text.substr(0, longest_text);
        const auto room = routes[to]->reserve(to, sizeof message + text.size());
        if (room.empty()) return false;
        std::memcpy(room.data(), &message, sizeof message);
        std::memcpy(room.data() + sizeof message, text.data(), text.size());
        routes[to]->commit(to);
        routes[to]->flush();
        return true;
    }

    [[nodiscard]] bool send(Rank to, const Message& message, std::string_view text = "") {
        if (routes[to] == nullptr) return false;
        return wait_until(options.patience, [&] { return !lost[to].empty() || try_send(to, message, text); }) &&
               lost[to].empty();
    }

    /// Delivers, and answers those who measure themselves with this rank.
    bool step() {
        std::size_t count = 0;
        for (Transport* transport : active) count += transport->poll(*this);
        for (std::size_t i = 0; i < inbox.size(); ++i) {
            const Received& received = inbox[i];
            if (received.message.kind != Kind::ping) continue;
            const Message answer{.kind = Kind::pong, .peer = self, .number = received.message.number};
            if (routes[received.from] == nullptr || try_send(received.from, answer, "")) {
                inbox.erase(inbox.begin() + static_cast<std::ptrdiff_t>(i--));
            }
        }
        return count != 0;
    }

    /// A core is kept busy for a while, so that a measurement is not one of waking up; soon it is offered to others, as
    /// the peer may need it.
    void idle() {
        const auto idle_for = SteadyClock::now() - last_event;
        if (idle_for < pause_time && cores > 1) return pause_cpu();
        if (idle_for < spin_time) return std::this_thread::yield();
        for (Transport* transport : active) transport->flush();
        Transport* sleeper = nullptr;
        for (Transport* transport : active) {
            if (sleeper == nullptr || transport->capabilities().can_block) sleeper = transport;
        }
        if (sleeper == nullptr) return std::this_thread::sleep_for(longest_nap);
        sleeper->wait(active.size() == 1 ? longest_nap : longest_nap / 10);
    }

    /// @return false if it is not done in time.
    template <class Done>
    [[nodiscard]] bool wait_until(std::chrono::nanoseconds time, Done&& done) {
        const auto deadline = deadline_in(time);
        while (!done()) {
            if (step()) {
                last_event = SteadyClock::now();
            } else if (SteadyClock::now() > deadline) {
                return false;
            } else {
                idle();
            }
        }
        return true;
    }

    [[nodiscard]] std::optional<Received> take(Kind kind) {
        const auto found = std::find_if(inbox.begin(), inbox.end(),
                                        [&](const Received& received) { return received.message.kind == kind; });
        if (found == inbox.end()) return std::nullopt;
        Received received = std::move(*found);
        inbox.erase(found);
        return received;
    }

    // --- one pair ---

    [[nodiscard]] std::string silence(Rank peer) const {
        if (!lost[peer].empty()) return name(peer) + ": " + lost[peer];
        return name(peer) + " did not answer within " + format_duration(options.patience);
    }

    [[nodiscard]] bool answers(Rank peer) {
        const std::uint64_t number = ++pings;
        if (!send(peer, {.kind = Kind::ping, .peer = peer, .number = number})) return false;
        bool answered = false;
        return wait_until(options.patience,
                          [&] {
                              while (const auto pong = take(Kind::pong))
                                  answered = answered || pong->message.number == number;
                              return answered || !lost[peer].empty();
                          }) &&
               answered;
    }

    [[nodiscard]] bool measure_latency(Rank peer, std::chrono::nanoseconds time, double& microseconds) {
        std::vector<double> halves;
        for (std::size_t i = 0; i < first_round_trips; ++i) {
            if (!answers(peer)) return false;
        }
        const auto until = deadline_in(time);
        while (halves.size() < most_round_trips) {
            const auto start = SteadyClock::now();
            if (halves.size() >= fewest_round_trips && start > until) break;
            if (!answers(peer)) return false;
            halves.push_back(seconds(SteadyClock::now() - start) / 2 * 1e6);
        }
        microseconds = median(halves);
        return true;
    }

    [[nodiscard]] bool fetch_blobs(Rank peer, std::chrono::nanoseconds time, std::size_t most, std::size_t& count) {
        const auto until = deadline_in(time);
        std::size_t asked = 0;
        fetched = 0;
        fetch_error.clear();
        first_token = next_token;
        const auto may_ask = [&] {
            return asked < most && asked - fetched < in_flight && (asked == 0 || SteadyClock::now() < until);
        };
        const bool done = wait_until(time + options.patience, [&] {
            // Where fetches end out of order, two may share a buffer: nobody looks at the bytes.
            for (; may_ask(); ++asked) routes[peer]->fetch(blobs[peer], buffers[asked % in_flight], next_token++);
            routes[peer]->flush();
            return fetched == asked || !lost[peer].empty() || !fetch_error.empty();
        });
        count = fetched;
        return done && fetched == asked && fetch_error.empty();
    }

    [[nodiscard]] PairFigures measure(Rank peer, std::chrono::nanoseconds time) {
        PairFigures figures;
        if (routes[peer] == nullptr) return {.problem = reasons[peer]};
        if (!measure_latency(peer, time / 2, figures.latency_us)) return {.problem = silence(peer)};
        std::size_t count = 0;
        bool arrived = fetch_blobs(peer, 0ns, 1, count);  // opens what is opened on first use
        const auto start = SteadyClock::now();
        arrived = arrived && fetch_blobs(peer, time / 2, most_fetches, count);
        const double elapsed = seconds(SteadyClock::now() - start);
        if (!arrived) return {.problem = fetch_error.empty() ? silence(peer) : name(peer) + ": " + fetch_error};
        figures.bytes_per_s = static_cast<double>(count * blob_bytes) / std::max(elapsed, 1e-9);
        figures.transport = routes[peer]->name();
        return figures;
    }

    // --- everybody but rank 0 ---

    void follow() {
        if (routes[0] == nullptr) throw Error{Errc::unsupported, reasons[0]};
        const auto bound = 2 * options.time + 8 * options.patience;  // longer than rank 0 takes at most
        (void)send(0, {.kind = Kind::here, .peer = self});
        std::optional<Received> begin;
        bool is_over = false;
        while (!is_over) {
            const bool heard = wait_until(bound, [&] {
                is_over = take(Kind::stop).has_value();
                begin = is_over ? std::nullopt : take(Kind::begin);
                return is_over || begin || !lost[0].empty();
            });
            if (!lost[0].empty()) throw Error{Errc::disconnected, name(0) + ": " + lost[0]};
            if (!heard)
                throw Error{Errc::timed_out, name(0) + ", which leads, said nothing for " + format_duration(bound)};
            if (begin) report(begin->message);
        }
    }

    void report(const Message& order) {
        if (order.peer >= ranks || order.peer == self) return;
        const PairFigures figures = measure(order.peer, std::chrono::nanoseconds{order.number});
        (void)send(0,
                   {.kind = Kind::result,
                    .peer = order.peer,
                    .number = figures.problem.empty() ? 1U : 0U,
                    .latency_us = figures.latency_us,
                    .bytes_per_s = figures.bytes_per_s},
                   figures.problem.empty() ? figures.transport : figures.problem);
    }

    // --- rank 0 ---

    struct Turn {
        Rank from;
        Rank to;
    };

    [[nodiscard]] PeerMatrix lead() {
        PeerMatrix matrix{.hosts = hosts, .pairs = std::vector<PairFigures>(std::size_t{ranks} * ranks)};
        silent.assign(ranks, "");
        matrix.notes = transports.notes();
        for (const auto& [choice, count] : chosen) {
            matrix.notes.push_back(fmt::format("rank 0 reaches {} over {}",
                                               count == 1 ? "1 rank" : fmt::format("{} ranks", count), choice));
        }
        call_the_roll();
        const auto over = deadline_in(2 * options.time + 2 * options.patience);
        const auto turns = all_turns();
        const auto time = std::clamp(options.time / std::max<std::int64_t>(static_cast<std::int64_t>(turns.size()), 1),
                                     shortest_turn, longest_turn);
        for (const auto& at_once : turns) {
            std::vector<Turn> started;
            for (const Turn& turn : at_once) {
                PairFigures& figures = matrix.at(turn.from, turn.to);
                const std::string& who = silent[turn.from].empty() ? silent[turn.to] : silent[turn.from];
                if (!who.empty()) {
                    figures.problem = who;
                } else if (SteadyClock::now() > over) {
                    figures.problem = "not measured: the time is up; give it more with --seconds";
                } else {
                    started.push_back(turn);
                }
            }
            play(started, time, matrix);
        }
        return matrix;
    }

    /// Ranks come late, from slow hosts.
    void call_the_roll() {
        std::vector<bool> is_here(ranks, false);
        is_here[0] = true;
        (void)wait_until(options.patience, [&] {
            while (const auto received = take(Kind::here)) is_here[received->from] = true;
            bool all = true;
            for (Rank rank = 0; rank < ranks; ++rank)
                all = all && (is_here[rank] || !lost[rank].empty() || routes[rank] == nullptr);
            return all;
        });
        for (Rank rank = 1; rank < ranks; ++rank) {
            if (!is_here[rank])
                silent[rank] = routes[rank] == nullptr ? name(rank) + ": " + reasons[rank] : silence(rank);
        }
    }

    /// Those of an inner list have no rank in common.
    [[nodiscard]] std::vector<std::vector<Turn>> all_turns() const {
        std::vector<std::vector<Turn>> turns;
        for (const auto& round : tournament(ranks)) {
            for (const bool swapped : {false, true}) {
                std::vector<Turn> at_once;
                for (const auto& pair : round) {
                    at_once.push_back(swapped ? Turn{pair.second, pair.first} : Turn{pair.first, pair.second});
                }
                if (options.together) {
                    turns.push_back(at_once);
                } else {
                    for (const Turn& turn : at_once) turns.push_back({turn});
                }
            }
        }
        return turns;
    }

    void play(const std::vector<Turn>& turns, std::chrono::nanoseconds time, PeerMatrix& matrix) {
        std::vector<Turn> open;
        for (const Turn& turn : turns) {
            if (turn.from == self) continue;
            const auto length = static_cast<std::uint64_t>(time.count());
            if (send(turn.from, {.kind = Kind::begin, .peer = turn.to, .number = length})) {
                open.push_back(turn);
            } else {
                silent[turn.from] = silence(turn.from);
                matrix.at(turn.from, turn.to).problem = silent[turn.from];
            }
        }
        for (const Turn& turn : turns) {
            if (turn.from != self) continue;
            matrix.at(self, turn.to) = measure(turn.to, time);
        }
        // Whoever measures has its own patience with its peer, twice: for frames and for blobs.
        const auto bound = 4 * time + 3 * options.patience;
        (void)wait_until(bound, [&] {
            while (const auto received = take(Kind::result)) accept(*received, open, matrix);
            std::erase_if(open, [&](const Turn& turn) {
                if (lost[turn.from].empty()) return false;
                silent[turn.from] = matrix.at(turn.from, turn.to).problem = silence(turn.from);
                return true;
            });
            return open.empty();
        });
        for (const Turn& turn : open) {
            silent[turn.from] = name(turn.from) + " did not answer within " + format_duration(bound);
            matrix.at(turn.from, turn.to).problem = silent[turn.from];
        }
        for (const Turn& turn : turns) find_the_silent(turn, matrix);
    }

    void accept(const Received& received, std::vector<Turn>& open, PeerMatrix& matrix) const {
        const auto turn = std::find_if(open.begin(), open.end(), [&](const Turn& each) {
            return each.from == received.from && each.to == received.message.peer;
        });
        if (turn == open.end()) return;  // it comes too late
        PairFigures& figures = matrix.at(turn->from, turn->to);
        const bool is_good = received.message.number == 1;
        figures = {.latency_us = received.message.latency_us,
                   .bytes_per_s = received.message.bytes_per_s,
                   .transport = is_good ? received.text : "",
                   .problem = is_good                 ? ""
                              : received.text.empty() ? "unknown"
                                                      : received.text};
        open.erase(turn);
    }

    /// After a failure: a rank that does not answer rank 0 either is the one to blame, and is not asked again.
    void find_the_silent(const Turn& turn, const PeerMatrix& matrix) {
        if (matrix.at(turn.from, turn.to).problem.empty()) return;
        for (const Rank rank : {turn.from, turn.to}) {
            if (rank == self || !silent[rank].empty() || routes[rank] == nullptr) continue;
            if (!answers(rank)) silent[rank] = silence(rank);
        }
    }

    void leave() {
        if (self == 0) {
            for (Rank rank = 1; rank < ranks; ++rank) {
                if (silent[rank].empty()) (void)send(rank, {.kind = Kind::stop});
            }
        }
        for (Rank rank = 0; rank < ranks; ++rank) {
            const bool gone = !lost[rank].empty() || (self == 0 && !silent[rank].empty());
            if (routes[rank] != nullptr && gone) routes[rank]->forget(rank);
        }
        (void)wait_until(options.patience, [&] {
            return std::all_of(active.begin(), active.end(), [](const Transport* each) { return each->drained(); });
        });
    }

    PeerOptions options;
    Rank self;
    Rank ranks;
    std::vector<std::string> hosts;
    Arena arena;
    std::vector<std::vector<std::byte>> buffers;  // outlive the transports, which may still write to them
    TransportSet transports;
    std::vector<BlobRef> blobs;
    std::vector<std::string> lost;  // by rank: why, or empty
    std::vector<Transport*> routes;
    std::vector<std::string> reasons;           // by rank: why there is no route
    std::map<std::string, std::size_t> chosen;  // transport and reason: for how many ranks
    std::vector<std::string> silent;            // by rank, in rank 0: who is not asked any more, and why
    std::vector<Transport*> active;
    std::deque<Received> inbox;
    std::uint64_t pings = 0;
    std::uint64_t next_token = 1;
    std::uint64_t first_token = 1;
    std::size_t fetched = 0;
    std::string fetch_error;
    SteadyClock::time_point last_event = SteadyClock::now();
    unsigned cores = usable_cores();
};

PeerProbe::PeerProbe(Bootstrap& bootstrap, const PeerOptions& options)
    : state_{std::make_unique<State>(bootstrap, options)} {}

PeerProbe::~PeerProbe() = default;

PeerMatrix PeerProbe::run() {
    PeerMatrix matrix;
    if (state_->self == 0) {
        matrix = state_->lead();
    } else {
        state_->follow();
    }
    state_->leave();
    return matrix;
}

}  // namespace penstock::doctor
