#include "doctor/tuner.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/clock.hpp"
#include "base/cores.hpp"
#include "base/deadline.hpp"
#include "base/fifo.hpp"
#include "base/format.hpp"
#include "launch/process_identity.hpp"
#include "memory/arena.hpp"

namespace penstock::doctor {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t store_bytes = std::size_t{64} << 20U;
constexpr std::size_t bytes_under_way = std::size_t{2} << 20U;
constexpr std::size_t most_under_way = 1024;
/// Payloads on their way besides those that are fetched.
constexpr std::size_t waiting = 4;
constexpr std::size_t fewest_rounds = 3;
constexpr std::chrono::nanoseconds shortest_slice = 2ms;
constexpr std::chrono::nanoseconds pause_time = 50us;
constexpr std::chrono::nanoseconds spin_time = 1ms;
constexpr std::chrono::nanoseconds longest_nap = 1ms;

/// Small enough for what is sent together to count.
constexpr std::uint32_t small_bytes = 256;
/// Blobs that are fetched one by one, and in many.
constexpr std::array<std::uint32_t, 2> fetched_bytes{64U << 10U, 1U << 20U};
/// Of which a fetch makes several chunks.
constexpr std::uint32_t long_bytes = 4U << 20U;

constexpr std::array<std::uint32_t, 5> inline_sizes{4U << 10U, 8U << 10U, 16U << 10U, 32U << 10U, 48U << 10U};
constexpr std::array<std::uint32_t, 4> coalesced_sizes{8U << 10U, 16U << 10U, 32U << 10U, 64U << 10U};
constexpr std::array<std::uint32_t, 5> chunk_sizes{256U << 10U, 512U << 10U, 1U << 20U, 2U << 20U, 4U << 20U};
constexpr std::array<std::uint32_t, 4> in_flights{2, 4, 8, 16};

enum class Kind : std::uint32_t {
    stream,   ///< From rank 0: send payloads, as many as are granted.
    grant,    ///< From rank 0: that many more.
    stop,     ///< From rank 0: no more of this stream.
    stopped,  ///< So many were sent.
    payload,  ///< Its blob is in the arena, or follows.
    leave,    ///< From rank 0: this transport is done.
};

struct Message {
    Kind kind = Kind::leave;
    bool is_inline = false;
    std::uint64_t count = 0;
    BlobRef blob{};
    Thresholds thresholds{};
};

/// What is streamed in one measurement.
struct Load {
    Thresholds thresholds;
    std::uint32_t bytes = 0;
    bool is_inline = false;
};

[[nodiscard]] double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

[[nodiscard]] double seconds(std::chrono::nanoseconds time) noexcept {
    return std::chrono::duration<double>(time).count();
}

/// One end of the way between the two ranks that measure.
class End final : public TransportEvents {
public:
    struct Stores {
        Arena& arena;
        Block out;
        Block in;
    };

    End(Transport& transport, Rank self, Rank peer, std::string peer_name, const Stores& stores,
        std::chrono::nanoseconds patience)
        : transport_{transport},
          self_{self},
          peer_{peer},
          peer_name_{std::move(peer_name)},
          stores_{stores},
          patience_{patience} {
        transport_.connect(peer_);
    }

    /// In rank 0. @return bytes per second.
    [[nodiscard]] double measure(const Load& load, std::chrono::nanoseconds time) {
        begin(load);
        const std::uint64_t window = std::clamp<std::uint64_t>(bytes_under_way / load.bytes,
                                                               load.thresholds.in_flight + waiting, most_under_way);
        send({.kind = Kind::stream,
              .is_inline = load.is_inline,
              .count = window,
              .blob = {self_, 0, load.bytes},
              .thresholds = load.thresholds});
        wait_until(patience_, [&] {
            grant(window / 4);
            return consumed_ >= window / 2;
        });
        const std::uint64_t before = consumed_;
        const auto start = SteadyClock::now();
        wait_until(patience_ + time, [&] {
            grant(window / 4);
            return SteadyClock::now() - start >= time && consumed_ > before;
        });
        const double rate =
            static_cast<double>((consumed_ - before) * load.bytes) / seconds(SteadyClock::now() - start);
        send({.kind = Kind::stop});
        wait_until(patience_, [&] { return total_ && consumed_ == *total_; });
        return rate;
    }

    void end() {
        send({.kind = Kind::leave});
        wait_until(patience_, [&] { return transport_.drained(); });
    }

    /// In the other rank: does what rank 0 says until it says that all is done. @param bound  Of a stream.
    void follow(std::chrono::nanoseconds bound) {
        while (!leaves_) {
            wait_until(bound, [&] { return leaves_ || order_.has_value(); });
            if (leaves_) break;
            const Message order = *std::exchange(order_, std::nullopt);
            begin({.thresholds = order.thresholds,
                   .bytes = static_cast<std::uint32_t>(order.blob.bytes),
                   .is_inline = order.is_inline});
            granted_ = order.count;
            wait_until(bound, [&] {
                produce();
                return stops_;
            });
            stops_ = false;
            send({.kind = Kind::stopped, .count = sent_});
        }
        wait_until(patience_, [&] { return transport_.drained(); });
    }

    void on_frame(Rank from, std::span<const std::byte> frame) override {
        Message message;
        if (from != peer_ || frame.size() < sizeof message) return;
        std::memcpy(&message, frame.data(), sizeof message);
        switch (message.kind) {
            case Kind::stream: order_ = message; break;
            case Kind::grant: granted_ += message.count; break;
            case Kind::stop: stops_ = true; break;
            case Kind::stopped: total_ = message.count; break;
            case Kind::leave: leaves_ = true; break;
            case Kind::payload: take(message, frame.subspan(sizeof message)); break;
        }
    }
    void on_fetched(std::uint64_t, std::string_view error) override {
        if (!error.empty() && lost_.empty()) lost_ = error;
        ++consumed_;
        --fetching_;
        fetch();
    }
    void on_lost(Rank, std::string_view reason) override { lost_ = reason.empty() ? "it is gone" : reason; }

private:
    void begin(const Load& load) {
        transport_.use(load.thresholds);
        load_ = load;
        slots_ = std::max<std::uint64_t>(store_bytes / load.bytes, 1);
        consumed_ = fetching_ = sent_ = granted_ = answered_ = next_slot_ = 0;
        total_.reset();
    }

    void take(const Message& message, std::span<const std::byte> bytes) {
        if (message.is_inline) {
            if (bytes.size() == load_.bytes) std::memcpy(next_place(), bytes.data(), bytes.size());
            ++consumed_;
            return;
        }
        waiting_.push(message.blob);
        fetch();
    }

    /// As the receiving end of a channel does.
    void fetch() {
        while (!waiting_.empty() && fetching_ < load_.thresholds.in_flight) {
            ++fetching_;
            const BlobRef blob = waiting_.pop();
            transport_.fetch(blob, {next_place(), load_.bytes}, next_token_++);
        }
    }

    [[nodiscard]] std::byte* next_place() noexcept {
        return stores_.arena.at(stores_.in.offset + next_slot_++ % slots_ * load_.bytes);
    }

    void grant(std::uint64_t at_least) {
        if (consumed_ - answered_ < at_least) return;
        if (try_send({.kind = Kind::grant, .count = consumed_ - answered_})) answered_ = consumed_;
    }

    void produce() {
        while (sent_ < granted_) {
            const std::uint64_t offset = stores_.out.offset + sent_ % slots_ * load_.bytes;
            const auto room = transport_.reserve(peer_, sizeof(Message) + (load_.is_inline ? load_.bytes : 0));
            if (room.empty()) return;
            const Message message{
                .kind = Kind::payload, .is_inline = load_.is_inline, .blob = {self_, offset, load_.bytes}};
            std::memcpy(room.data(), &message, sizeof message);
            if (load_.is_inline) std::memcpy(room.data() + sizeof message, stores_.arena.at(offset), load_.bytes);
            transport_.commit(peer_);
            ++sent_;
        }
    }

    [[nodiscard]] bool try_send(const Message& message) {
        const auto room = transport_.reserve(peer_, sizeof message);
        if (room.empty()) return false;
        std::memcpy(room.data(), &message, sizeof message);
        transport_.commit(peer_);
        return true;
    }
    void send(const Message& message) {
        wait_until(patience_, [&] { return try_send(message); });
        transport_.flush();
    }

    /// A core is kept busy for a while; soon it is offered to others, as the peer may need it.
    void idle() {
        transport_.flush();
        const auto idle_for = SteadyClock::now() - last_event_;
        if (idle_for < pause_time && cores_ > 1) return pause_cpu();
        if (idle_for < spin_time) return std::this_thread::yield();
        transport_.wait(longest_nap);
    }

    template <class Done>
    void wait_until(std::chrono::nanoseconds time, Done&& done) {
        const auto deadline = deadline_in(time);
        while (!done()) {
            const bool heard = transport_.poll(*this) != 0;
            if (!lost_.empty()) {
                throw Error{Errc::disconnected, fmt::format("{} over {}: {}", peer_name_, transport_.name(), lost_)};
            }
            if (heard) {
                last_event_ = SteadyClock::now();
            } else if (SteadyClock::now() > deadline) {
                throw Error{Errc::timed_out, fmt::format("{} did not answer over {} within {}", peer_name_,
                                                         transport_.name(), format_duration(time))};
            } else {
                idle();
            }
        }
    }

    Transport& transport_;
    Rank self_;
    Rank peer_;
    std::string peer_name_;
    Stores stores_;
    std::chrono::nanoseconds patience_;
    Load load_{};
    std::uint64_t slots_ = 1;
    std::uint64_t next_slot_ = 0;
    std::uint64_t next_token_ = 1;
    Fifo<BlobRef> waiting_{most_under_way};
    std::uint64_t consumed_ = 0;
    std::uint64_t answered_ = 0;  // of those: granted again
    std::uint64_t fetching_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t granted_ = 0;
    std::optional<std::uint64_t> total_;  // as the peer says
    std::optional<Message> order_;
    bool stops_ = false;
    bool leaves_ = false;
    std::string lost_;
    SteadyClock::time_point last_event_ = SteadyClock::now();
    unsigned cores_ = usable_cores();
};

/// Tries the values of one transport's thresholds, one threshold after the other.
class Search {
public:
    /// @param over  From then on each threshold has one round, and stays as it is.
    Search(End& end, const ThresholdRange& range, std::size_t rounds, std::chrono::nanoseconds slice,
           SteadyClock::time_point over)
        : end_{end}, range_{range}, rounds_{rounds}, slice_{slice}, over_{over}, best_{range.built_in} {}

    [[nodiscard]] std::vector<TunedThreshold> run() {
        std::vector<TunedThreshold> details;
        for (const Threshold& each : all_thresholds) {
            // Last what depends on the others.
            if (range_.has(each) && each.value != &Thresholds::inline_bytes) details.push_back(try_values(each));
        }
        details.push_back(try_inline());
        return details;
    }
    [[nodiscard]] const Thresholds& best() const noexcept { return best_; }

    /// How many measurements a transport takes in a round.
    [[nodiscard]] static std::size_t measurements(const ThresholdRange& range) {
        std::size_t count = 2 * inline_sizes.size();
        for (const Threshold& each : all_thresholds) {
            if (range.has(each)) count += values_of(each).size() * loads_of(each).size();
        }
        return count;
    }

private:
    [[nodiscard]] static std::vector<std::uint32_t> values_of(const Threshold& threshold) {
        if (threshold.value == &Thresholds::coalesced_bytes) return {coalesced_sizes.begin(), coalesced_sizes.end()};
        if (threshold.value == &Thresholds::chunk_bytes) return {chunk_sizes.begin(), chunk_sizes.end()};
        if (threshold.value == &Thresholds::in_flight) return {in_flights.begin(), in_flights.end()};
        return {};
    }
    /// Of how many bytes are the blobs that show what it is good for.
    [[nodiscard]] static std::vector<std::uint32_t> loads_of(const Threshold& threshold) {
        if (threshold.value == &Thresholds::coalesced_bytes) return {small_bytes};
        if (threshold.value == &Thresholds::chunk_bytes) return {long_bytes};
        return {fetched_bytes.begin(), fetched_bytes.end()};
    }

    [[nodiscard]] bool goes_on(std::size_t round) const {
        return round == 0 || (round < rounds_ && SteadyClock::now() < over_);
    }

    [[nodiscard]] TunedThreshold try_values(const Threshold& threshold) {
        const auto values = values_of(threshold);
        const auto loads = loads_of(threshold);
        const std::uint32_t built_in = range_.built_in.*threshold.value;
        const bool is_inline = threshold.value == &Thresholds::coalesced_bytes;
        std::vector<std::vector<double>> rates(values.size());   // by value, by round: of the longest blobs
        std::vector<std::vector<double>> scores(values.size());  // likewise: the logarithms, over all blobs
        for (std::size_t round = 0; goes_on(round); ++round) {
            for (std::size_t i = 0; i < values.size(); ++i) {
                Load load{.thresholds = best_, .bytes = 0, .is_inline = is_inline};
                load.thresholds.*threshold.value = values[i];
                double score = 0;
                for (const std::uint32_t bytes : loads) {
                    load.bytes = bytes;
                    const double rate = end_.measure(load, slice_);
                    score += std::log(rate) / static_cast<double>(loads.size());
                    if (bytes == loads.back()) rates[i].push_back(rate);
                }
                scores[i].push_back(score);
            }
        }
        const auto reference =
            static_cast<std::size_t>(std::find(values.begin(), values.end(), built_in) - values.begin());
        TunedThreshold tuned{.name = threshold.name, .built_in = built_in};
        for (std::size_t i = 0; i < values.size(); ++i) {
            tuned.figures.push_back(figure(values[i], rates[i], scores[i], scores[reference]));
        }
        tuned.chosen = best_value(tuned.figures, built_in, scores[0].size());
        best_.*threshold.value = tuned.chosen;
        return tuned;
    }

    [[nodiscard]] TunedThreshold try_inline() {
        std::array<std::vector<double>, inline_sizes.size()> rates;
        std::array<std::vector<double>, inline_sizes.size()> in_frames;
        std::array<std::vector<double>, inline_sizes.size()> fetched;
        for (std::size_t round = 0; goes_on(round); ++round) {
            for (std::size_t i = 0; i < inline_sizes.size(); ++i) {
                Load load{.thresholds = best_, .bytes = inline_sizes[i], .is_inline = true};
                rates[i].push_back(end_.measure(load, slice_));
                in_frames[i].push_back(std::log(rates[i].back()));
                load.is_inline = false;
                fetched[i].push_back(std::log(end_.measure(load, slice_)));
            }
        }
        TunedThreshold tuned{.name = "inline_bytes", .built_in = range_.built_in.inline_bytes};
        for (std::size_t i = 0; i < inline_sizes.size(); ++i) {
            tuned.figures.push_back(figure(inline_sizes[i], rates[i], in_frames[i], fetched[i]));
        }
        best_.inline_bytes = tuned.chosen = best_inline_bytes(tuned.figures, tuned.built_in, rates[0].size());
        return tuned;
    }

    [[nodiscard]] static TuningFigure figure(std::uint32_t value, const std::vector<double>& rates,
                                             const std::vector<double>& scores, const std::vector<double>& others) {
        TuningFigure figure{.value = value, .bytes_per_s = median(rates)};
        std::vector<double> ratios;
        for (std::size_t round = 0; round < scores.size(); ++round) {
            ratios.push_back(std::exp(scores[round] - others[round]));
            if (ratios.back() > 1) ++figure.wins;
        }
        figure.ratio = median(ratios);
        return figure;
    }

    End& end_;
    const ThresholdRange& range_;
    std::size_t rounds_;
    std::chrono::nanoseconds slice_;
    SteadyClock::time_point over_;
    Thresholds best_;
};

[[nodiscard]] Block whole_store(Arena& arena) {
    const auto block = arena.allocate(store_bytes);
    if (!block) throw Error{Errc::exhausted, "no room in the arena for what the ranks exchange"};
    std::memset(arena.at(block->offset), 0x5a, store_bytes);
    return *block;
}

/// A rank of another host, or the next one.
[[nodiscard]] Rank partner(const std::vector<std::string>& hosts) {
    for (Rank rank = 1; rank < hosts.size(); ++rank) {
        if (hosts[rank] != hosts[0]) return rank;
    }
    return 1;
}

}  // namespace

std::uint32_t best_value(const std::vector<TuningFigure>& figures, std::uint32_t built_in, std::size_t rounds) {
    if (rounds < fewest_rounds) return built_in;
    const TuningFigure* best = nullptr;
    for (const TuningFigure& each : figures) {
        if (each.is_better(rounds) && (best == nullptr || each.ratio > best->ratio)) best = &each;
    }
    return best == nullptr ? built_in : best->value;
}

std::uint32_t best_inline_bytes(const std::vector<TuningFigure>& figures, std::uint32_t built_in, std::size_t rounds) {
    if (rounds < fewest_rounds) return built_in;
    std::uint32_t chosen = built_in;
    for (const TuningFigure& each : figures) {
        if (each.value <= built_in) continue;
        if (!each.is_better(rounds)) break;
        chosen = each.value;
    }
    if (chosen != built_in) return chosen;
    for (auto each = figures.rbegin(); each != figures.rend(); ++each) {
        if (each->value > built_in) continue;
        if (!each->is_worse()) break;
        chosen = std::next(each) == figures.rend() ? each->value / 2 : std::next(each)->value;
    }
    return chosen;
}

TuningAnswer tune(Bootstrap& bootstrap, const TuningOptions& options) {
    const Rank self = bootstrap.rank();
    if (bootstrap.size() < 2) {
        throw Error{Errc::invalid_input,
                    "thresholds are measured between two ranks, best on two hosts; start it with "
                    "'mpirun -n 2 penstock tune'"};
    }
    const auto hosts = bootstrap.allgather(host_name());
    const Rank other = partner(hosts);
    Arena arena{3 * store_bytes + (std::uint64_t{1} << 20U) * bootstrap.size()};
    const bool takes_part = self == 0 || self == other;
    const End::Stores stores{.arena = arena,
                             .out = takes_part ? whole_store(arena) : Block{},
                             .in = takes_part ? whole_store(arena) : Block{}};
    const TransportSet transports{bootstrap, arena, options.transports};
    TuningAnswer answer{.hosts = hosts[0] == hosts[other] ? hosts[0] : hosts[0] + " and " + hosts[other],
                        .is_loopback = hosts[0] == hosts[other],
                        .notes = transports.notes()};
    std::vector<const ThresholdsInUse*> found;
    std::size_t measurements = 0;
    for (const ThresholdsInUse& each : transports.thresholds()) {
        if (std::ranges::find(options.transports, each.transport) == options.transports.end()) continue;
        found.push_back(&each);
        measurements += Search::measurements(*threshold_range(each.transport)) * options.rounds;
    }
    if (found.empty()) {
        std::string why;
        for (const std::string& note : answer.notes) why += "; " + note;
        throw Error{Errc::unsupported, "none of the transports with thresholds works here" + why};
    }
    const auto slice =
        std::max<std::chrono::nanoseconds>(options.time / static_cast<std::int64_t>(measurements), shortest_slice);
    const auto over = deadline_in(2 * options.time);
    if (takes_part) {
        const Rank peer = self == 0 ? other : 0;
        for (const ThresholdsInUse* each : found) {
            End end{*transports.choose(peer, each->transport).transport, self,   peer,
                    fmt::format("rank {} on {}", peer, hosts[peer]),     stores, options.patience};
            if (self != 0) {
                end.follow(options.patience + slice);
                continue;
            }
            Search search{end, *threshold_range(each->transport), options.rounds, slice, over};
            auto details = search.run();
            end.end();
            answer.transports.push_back({.transport = each->transport,
                                         .measured_for = each->measured_for,
                                         .thresholds = search.best(),
                                         .details = std::move(details)});
        }
    }
    static_cast<void>(bootstrap.allgather({}));  // the others' transports stay until then
    return self == 0 ? answer : TuningAnswer{};
}

}  // namespace penstock::doctor
