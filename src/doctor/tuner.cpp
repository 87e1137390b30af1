#include "doctor/tuner.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/deadline.hpp"
#include "doctor/figures.hpp"
#include "doctor/stream_end.hpp"
#include "launch/process_identity.hpp"
#include "memory/arena.hpp"

namespace penstock::doctor {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t fewest_rounds = 3;
constexpr std::chrono::nanoseconds shortest_slice = 2ms;
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

/// Tries the values of one transport's thresholds, one threshold after the other.
class Search {
public:
    /// @param over  From then on each threshold has one round, and stays as it is.
    Search(StreamEnd& end, const ThresholdRange& range, std::size_t rounds, std::chrono::nanoseconds slice,
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

    StreamEnd& end_;
    const ThresholdRange& range_;
    std::size_t rounds_;
    std::chrono::nanoseconds slice_;
    SteadyClock::time_point over_;
    Thresholds best_;
};

[[nodiscard]] Block whole_store(Arena& arena) {
    const auto block = arena.allocate(StreamEnd::store_bytes);
    if (!block) throw Error{Errc::exhausted, "no room in the arena for what the ranks exchange"};
    std::memset(arena.at(block->offset), 0x5a, StreamEnd::store_bytes);
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
    Arena arena{3 * StreamEnd::store_bytes + (std::uint64_t{1} << 20U) * bootstrap.size()};
    const bool takes_part = self == 0 || self == other;
    const StreamEnd::Stores stores{.arena = arena,
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
            StreamEnd end{*transports.choose(peer, each->transport).transport, self,   peer,
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
