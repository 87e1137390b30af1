#include "doctor/heat_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include <fmt/format.h>

#include "base/quote.hpp"

namespace penstock::doctor {
namespace {

constexpr Rank most_numbers = 16;
constexpr std::size_t most_problems = 10;
constexpr std::array<std::string_view, 5> ascii_shades{".", ":", "+", "#", "@"};
constexpr std::array<std::string_view, 5> block_shades{"\u00b7", "\u2591", "\u2592", "\u2593", "\u2588"};

[[nodiscard]] std::string number_text(double value) {
    return value < 99.95 ? fmt::format("{:.3g}", value) : fmt::format("{:.0f}", value);
}

[[nodiscard]] std::string cell(const PeerMatrix& matrix, Rank from, Rank to, const Scale& scale, bool blocks) {
    const PairFigures& pair = matrix.at(from, to);
    const bool has_numbers = matrix.ranks() <= most_numbers;
    const std::size_t width = has_numbers ? 7 : 1;
    if (from == to) return fmt::format("{:>{}}{}", "-", width, has_numbers ? " " : "");
    if (!is_measured(pair)) return fmt::format("{:>{}}{}", "X", width, has_numbers ? " " : "");
    const auto level = static_cast<std::size_t>(std::lround(scale.slowness(pair) * 4));
    const std::string shade{(blocks ? block_shades : ascii_shades)[level]};
    return has_numbers ? fmt::format("{:>{}}", number_text(scale.value(pair)), width) + shade : shade;
}

[[nodiscard]] std::string one_map(const PeerMatrix& matrix, Scale::Of what, std::string_view title, bool blocks) {
    const Scale scale{matrix, what};
    std::string text = fmt::format("{}\n", title);
    if (matrix.ranks() <= most_numbers) {
        text += "  rank ";
        for (Rank to = 0; to < matrix.ranks(); ++to) text += fmt::format("{:>7} ", to);
        while (text.ends_with(' ')) text.pop_back();
        text += '\n';
    }
    for (Rank from = 0; from < matrix.ranks(); ++from) {
        text += fmt::format("{:>6} ", from);
        for (Rank to = 0; to < matrix.ranks(); ++to) text += cell(matrix, from, to, scale, blocks);
        text += "  " + printable(matrix.hosts[from]) + "\n";
    }
    return text;
}

[[nodiscard]] std::string summary(const PeerMatrix& matrix) {
    std::map<std::string, std::size_t> used;
    for (const PairFigures& pair : matrix.pairs) {
        if (is_measured(pair)) ++used[pair.transport];
    }
    std::string text;
    for (const auto& [name, count] : used) text += fmt::format("{}{} over {}", text.empty() ? "" : ", ", count, name);
    return text.empty() ? "no pair was measured\n" : "measured: " + text + "\n";
}

[[nodiscard]] std::string problems(const PeerMatrix& matrix) {
    std::string text;
    std::map<std::string, std::size_t> counts;
    for (const PairFigures& pair : matrix.pairs) {
        if (!pair.problem.empty()) ++counts[pair.problem];
    }
    std::size_t told = 0;
    for (const auto& [problem, count] : counts) {
        if (told++ == most_problems) return text + fmt::format("and {} more\n", counts.size() - most_problems);
        text += fmt::format("X {} of the pairs: {}\n", count, problem);
    }
    return text;
}

}  // namespace

Scale::Scale(const PeerMatrix& matrix, Of what) : what_{what} {
    bool is_first = true;
    for (const PairFigures& pair : matrix.pairs) {
        if (!is_measured(pair)) continue;
        const double place = (what_ == Of::latency ? 1 : -1) * std::log(std::max(value(pair), 1e-9));
        fastest_ = is_first ? place : std::min(fastest_, place);
        slowest_ = is_first ? place : std::max(slowest_, place);
        is_first = false;
    }
}

double Scale::value(const PairFigures& pair) const noexcept {
    return what_ == Of::latency ? pair.latency_us : pair.bytes_per_s / 1e9;
}

std::pair<double, double> Scale::extremes() const noexcept {
    const double sign = what_ == Of::latency ? 1 : -1;
    return {std::exp(sign * fastest_), std::exp(sign * slowest_)};
}

double Scale::slowness(const PairFigures& pair) const noexcept {
    constexpr double alike = 0.18;  // log 1.2
    if (!is_measured(pair) || slowest_ - fastest_ < alike) return 0;
    const double place = (what_ == Of::latency ? 1 : -1) * std::log(std::max(value(pair), 1e-9));
    return std::clamp((place - fastest_) / (slowest_ - fastest_), 0.0, 1.0);
}

std::string heat_map_text(const PeerMatrix& matrix, bool blocks) {
    if (matrix.ranks() < 2) return "there is one rank only, and no pair\n";
    std::string text = one_map(matrix, Scale::Of::latency, "latency in us: half a round trip of a small frame", blocks);
    text += "\n" + one_map(matrix, Scale::Of::bandwidth,
                           "bandwidth in GB/s: blobs of 1 MiB, a row fetches from a column", blocks);
    const auto& shades = blocks ? block_shades : ascii_shades;
    text += "\nfast ";
    for (const std::string_view shade : shades) text += shade;
    text += " slow; " + summary(matrix);
    for (const std::string& note : matrix.notes) text += note + "\n";
    return text + problems(matrix);
}

}  // namespace penstock::doctor
