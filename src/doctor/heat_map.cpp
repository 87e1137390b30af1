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

[[nodiscard]] bool is_measured(const PairFigures& pair) noexcept {
    return !pair.transport.empty();
}

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

/// From light blue over yellow to red.
[[nodiscard]] std::string colour(double slowness) {
    constexpr std::array<std::array<double, 3>, 3> stops{{{214, 232, 245}, {250, 214, 120}, {204, 51, 51}}};
    const double place = std::clamp(slowness, 0.0, 1.0) * 2;
    const auto stop = place < 1 ? std::size_t{0} : std::size_t{1};
    const double part = place - static_cast<double>(stop);
    std::array<int, 3> mixed{};
    for (std::size_t i = 0; i < 3; ++i) {
        mixed[i] = static_cast<int>(std::lround(stops[stop][i] + part * (stops[stop + 1][i] - stops[stop][i])));
    }
    return fmt::format("#{:02x}{:02x}{:02x}", mixed[0], mixed[1], mixed[2]);
}

[[nodiscard]] std::string xml_text(std::string_view text) {
    std::string safe;
    for (const char c : printable(text)) {
        switch (c) {
            case '&': safe += "&amp;"; break;
            case '<': safe += "&lt;"; break;
            case '>': safe += "&gt;"; break;
            case '"': safe += "&quot;"; break;
            default: safe += c;
        }
    }
    return safe;
}

class Picture {
public:
    explicit Picture(const PeerMatrix& matrix)
        : matrix_{matrix}, side_{std::clamp(640 / std::max(static_cast<int>(matrix.ranks()), 1), 5, 44)} {}

    [[nodiscard]] std::string draw() {
        const int map = side_ * static_cast<int>(matrix_.ranks());
        const int width = 2 * (map + labels) + 40;
        std::string svg = fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
            "font-family=\"sans-serif\" font-size=\"10\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
            width, map + top + 30);
        svg += one(Scale::Of::latency, "latency in us, half a round trip", labels);
        svg += one(Scale::Of::bandwidth, "bandwidth in GB/s, blobs of 1 MiB", 2 * labels + map + 20);
        svg += fmt::format(
            "<text x=\"10\" y=\"{}\">Red is slow, black was not measured. A row fetches from the columns."
            "</text>\n</svg>\n",
            map + top + 20);
        return svg;
    }

private:
    static constexpr int labels = 110;
    static constexpr int top = 50;
    static constexpr Rank most_written = 16;

    [[nodiscard]] std::string one(Scale::Of what, std::string_view title, int left) const {
        const Scale scale{matrix_, what};
        std::string svg = fmt::format("<text x=\"{}\" y=\"20\" font-size=\"14\">{}</text>\n", left, title);
        // As many labels as there is room for.
        const Rank step = static_cast<Rank>((12 + side_ - 1) / side_);
        for (Rank rank = 0; rank < matrix_.ranks(); rank += step) {
            const int at = static_cast<int>(rank) * side_ + side_ / 2;
            svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{} {}</text>\n", left - 5, top + at + 4,
                               xml_text(matrix_.hosts[rank]).substr(0, 40), rank);
            svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", left + at, top - 5, rank);
        }
        for (Rank from = 0; from < matrix_.ranks(); ++from) {
            for (Rank to = 0; to < matrix_.ranks(); ++to) {
                if (from != to) svg += square(from, to, scale, left);
            }
        }
        return svg;
    }

    [[nodiscard]] std::string square(Rank from, Rank to, const Scale& scale, int left) const {
        const PairFigures& pair = matrix_.at(from, to);
        const int x = left + static_cast<int>(to) * side_;
        const int y = top + static_cast<int>(from) * side_;
        const std::string about = is_measured(pair) ? fmt::format("{:.3g} us, {:.3g} GB/s, {}", pair.latency_us,
                                                                  pair.bytes_per_s / 1e9, xml_text(pair.transport))
                                                    : xml_text(pair.problem);
        std::string svg = fmt::format(
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"{}\"><title>{} to {}: {}</title></rect>\n", x, y,
            side_ - 1, side_ - 1, is_measured(pair) ? colour(scale.slowness(pair)) : "black", from, to, about);
        if (is_measured(pair) && matrix_.ranks() <= most_written) {
            svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x + side_ / 2,
                               y + side_ / 2 + 4, number_text(scale.value(pair)));
        }
        return svg;
    }

    const PeerMatrix& matrix_;
    int side_;
};

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

std::string heat_map_svg(const PeerMatrix& matrix) {
    return Picture{matrix}.draw();
}

}  // namespace penstock::doctor
