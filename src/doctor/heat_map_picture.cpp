#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/quote.hpp"
#include "doctor/heat_map.hpp"
#include "doctor/pixel_canvas.hpp"
#include "doctor/svg_canvas.hpp"

namespace penstock::doctor {
namespace {

constexpr Rgb black{0, 0, 0};

/// From light blue over yellow to red, in so few steps that an image has a palette of them.
[[nodiscard]] Rgb colour(double slowness) {
    constexpr std::array<std::array<double, 3>, 3> stops{{{214, 232, 245}, {250, 214, 120}, {204, 51, 51}}};
    constexpr double steps = 200;
    const double place = std::round(std::clamp(slowness, 0.0, 1.0) * steps) * 2 / steps;
    const auto stop = place < 1 ? std::size_t{0} : std::size_t{1};
    const double part = place - static_cast<double>(stop);
    Rgb mixed{};
    for (std::size_t i = 0; i < 3; ++i) {
        mixed[i] =
            static_cast<std::uint8_t>(std::lround(stops[stop][i] + part * (stops[stop + 1][i] - stops[stop][i])));
    }
    return mixed;
}

/// With as many digits as there is room for; empty if there is for none.
[[nodiscard]] std::string number_text(double value, int most_characters) {
    for (int digits = 3; digits > 0; --digits) {
        std::string text = value < 99.95 ? fmt::format("{:.{}g}", value, digits) : fmt::format("{:.0f}", value);
        if (static_cast<int>(text.size()) <= most_characters) return text;
    }
    return "";
}

/// Of a long name the end, in which the nodes of a cluster differ.
[[nodiscard]] std::string label_of(const PeerMatrix& matrix, Rank rank) {
    constexpr std::size_t longest = 36;
    std::string host = printable(matrix.hosts[rank]);
    if (host.size() > longest) {
        std::size_t cut = host.size() - longest;
        while (cut < host.size() && (static_cast<unsigned char>(host[cut]) & 0xc0U) == 0x80U) ++cut;  // UTF-8
        host = ".." + host.substr(cut);
    }
    return fmt::format("{} {}", host, rank);
}

/// Two maps side by side.
class Picture {
public:
    explicit Picture(const PeerMatrix& matrix)
        : matrix_{matrix}, side_{std::clamp(640 / std::max(ranks(), 1), 5, 44)}, map_{side_ * ranks()} {
        for (Rank rank = 0; rank < matrix.ranks(); ++rank) {
            const auto length = static_cast<int>(label_of(matrix, rank).size());
            labels_ = std::max(labels_, length * Canvas::character_width + 2 * gap);
        }
    }

    [[nodiscard]] int ranks() const { return static_cast<int>(matrix_.ranks()); }
    [[nodiscard]] int width() const { return 2 * (labels_ + room()) + 2 * between; }
    [[nodiscard]] int height() const { return top + map_ + 50; }

    void draw(Canvas& canvas) const {
        one(canvas, Scale::Of::latency, "latency in us, half a round trip", labels_);
        one(canvas, Scale::Of::bandwidth, "bandwidth in GB/s, blobs of 1 MiB", 2 * labels_ + room() + between);
        canvas.text(10, top + map_ + 40, Align::left,
                    "Red is slow, black was not measured. A row fetches from the columns.");
    }

private:
    static constexpr int top = 50;
    static constexpr int gap = 5;
    static constexpr int between = 20;
    static constexpr int narrowest = 280;  // for the titles
    static constexpr Rank most_written = 16;

    [[nodiscard]] int room() const { return std::max(map_, narrowest); }

    void one(Canvas& canvas, Scale::Of what, std::string_view title, int left) const {
        const Scale scale{matrix_, what};
        canvas.title(left, 20, title);
        // As many labels as there is room for.
        const auto step = static_cast<Rank>((12 + side_ - 1) / side_);
        // Numbers stand side by side.
        const auto digits = static_cast<int>(std::to_string(ranks()).size());
        const auto step_across = std::max(step, static_cast<Rank>((digits + 1) * Canvas::character_width / side_));
        for (Rank rank = 0; rank < matrix_.ranks(); ++rank) {
            const int at = static_cast<int>(rank) * side_ + side_ / 2;
            if (rank % step == 0) canvas.text(left - gap, top + at + 4, Align::right, label_of(matrix_, rank));
            if (rank % step_across == 0) canvas.text(left + at, top - gap, Align::middle, std::to_string(rank));
        }
        for (Rank from = 0; from < matrix_.ranks(); ++from) {
            for (Rank to = 0; to < matrix_.ranks(); ++to) {
                if (from != to) square(canvas, from, to, scale, left);
            }
        }
        canvas.text(left, top + map_ + 15, Align::left, key_of(scale));
    }

    [[nodiscard]] std::string key_of(const Scale& scale) const {
        if (std::none_of(matrix_.pairs.begin(), matrix_.pairs.end(), is_measured)) return "no pair was measured";
        const auto [fastest, slowest] = scale.extremes();
        return fmt::format("fastest {:.3g}, slowest {:.3g}", fastest, slowest);
    }

    void square(Canvas& canvas, Rank from, Rank to, const Scale& scale, int left) const {
        const PairFigures& pair = matrix_.at(from, to);
        const Box box{.x = left + static_cast<int>(to) * side_,
                      .y = top + static_cast<int>(from) * side_,
                      .width = side_ - 1,
                      .height = side_ - 1};
        const std::string figures = is_measured(pair) ? fmt::format("{:.3g} us, {:.3g} GB/s, {}", pair.latency_us,
                                                                    pair.bytes_per_s / 1e9, printable(pair.transport))
                                                      : printable(pair.problem);
        canvas.box(box, is_measured(pair) ? colour(scale.slowness(pair)) : black,
                   fmt::format("{} to {}: {}", from, to, figures));
        if (!is_measured(pair) || matrix_.ranks() > most_written) return;
        canvas.text(box.x + side_ / 2, box.y + side_ / 2 + 4, Align::middle,
                    number_text(scale.value(pair), box.width / Canvas::character_width));
    }

    const PeerMatrix& matrix_;
    int side_;
    int map_;
    int labels_ = 50;
};

}  // namespace

std::string heat_map_svg(const PeerMatrix& matrix) {
    const Picture picture{matrix};
    SvgCanvas canvas{picture.width(), picture.height()};
    picture.draw(canvas);
    return canvas.file();
}

std::string heat_map_png(const PeerMatrix& matrix) {
    constexpr Rank few = 64;
    const Picture picture{matrix};
    PixelCanvas canvas{picture.width(), picture.height(), matrix.ranks() <= few ? 2 : 1};
    picture.draw(canvas);
    return png_of(canvas.image());
}

}  // namespace penstock::doctor
