#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "transports/make.hpp"

namespace penstock::doctor {

/// One value of a threshold against the built-in one; of `inline_bytes`, blobs of that size in frames against fetched.
struct TuningFigure {
    std::uint32_t value = 0;
    double bytes_per_s = 0;  ///< The median of the rounds.
    double ratio = 1;        ///< To the other one, the median over rounds.
    std::size_t wins = 0;    ///< Rounds in which it was faster than the other one.

    /// Clear enough to be worth a change: noise is not.
    [[nodiscard]] bool is_better(std::size_t rounds) const noexcept { return ratio >= 1.05 && wins + 1 >= rounds; }
    [[nodiscard]] bool is_worse() const noexcept { return ratio <= 1 / 1.05 && wins <= 1; }
};

/// The best of them, if it is clearly better than what is built in.
[[nodiscard]] std::uint32_t best_value(const std::vector<TuningFigure>& figures, std::uint32_t built_in,
                                       std::size_t rounds);
/// Up to which size blobs travel in frames. @param figures  In the order of sizes.
[[nodiscard]] std::uint32_t best_inline_bytes(const std::vector<TuningFigure>& figures, std::uint32_t built_in,
                                              std::size_t rounds);

struct TunedThreshold {
    std::string_view name;
    std::uint32_t built_in = 0;
    std::uint32_t chosen = 0;
    std::vector<TuningFigure> figures = {};
};

struct TunedTransport {
    std::string transport;
    std::string measured_for;
    Thresholds thresholds;
    std::vector<TunedThreshold> details = {};
};

struct TuningOptions {
    /// For all transports together, about; where a slow machine takes twice as long, the rest stays as it is built in.
    std::chrono::nanoseconds time{std::chrono::seconds{6}};
    std::chrono::nanoseconds patience{std::chrono::seconds{5}};  ///< For a rank that should answer.
    std::vector<std::string_view> transports = {"ucx", "ofi", "mpi"};
    std::size_t rounds = 5;  ///< Each of which tries all values of a threshold, one after the other.
};

struct TuningAnswer {
    std::string hosts;  ///< Between which was measured.
    bool is_loopback = false;
    std::vector<TunedTransport> transports = {};
    std::vector<std::string> notes = {};  ///< Which transports there are, and why not.
};

/// Measures thresholds between rank 0 and a rank of another host, or of its own where there is no other. Collective;
/// the other ranks wait. @return in rank 0 the answer, in the others nothing.
/// @throws Error{invalid_input} for one rank alone, Error{unsupported} if none of the transports works,
/// Error{timed_out} or Error{disconnected} naming the rank that does not answer.
[[nodiscard]] TuningAnswer tune(Bootstrap& bootstrap, const TuningOptions& options);

}  // namespace penstock::doctor
