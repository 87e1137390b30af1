#pragma once

#include <string>
#include <utility>

#include "doctor/peers.hpp"

namespace penstock::doctor {

/// Latency and bandwidth of all pairs: numbers where the ranks are few, else a shade for each pair, darker where it is
/// slower; then the pairs that could not be measured.
/// @param blocks  Shades of the block characters of Unicode, else of ASCII.
[[nodiscard]] std::string heat_map_text(const PeerMatrix& matrix, bool blocks);

/// The same as a picture: a whole SVG file, or a whole PNG file, which has no problems in words.
[[nodiscard]] std::string heat_map_svg(const PeerMatrix& matrix);
/// @throws Error{unsupported} as `require_png` does.
[[nodiscard]] std::string heat_map_png(const PeerMatrix& matrix);

/// How slow a pair is among the measured ones, on a logarithmic scale: 0 the fastest, 1 the slowest; all are 0 where
/// they differ by less than a fifth.
class Scale {
public:
    enum class Of : std::uint8_t { latency, bandwidth };
    Scale(const PeerMatrix& matrix, Of what);

    [[nodiscard]] double value(const PairFigures& pair) const noexcept;
    /// Of the measured ones: the fastest value and the slowest.
    [[nodiscard]] std::pair<double, double> extremes() const noexcept;
    [[nodiscard]] double slowness(const PairFigures& pair) const noexcept;

private:
    Of what_;
    double fastest_ = 0;  // logarithms; of bandwidths, the negative ones
    double slowest_ = 0;
};

}  // namespace penstock::doctor
