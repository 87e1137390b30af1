#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace penstock {

/// Counts of values in log-linear buckets, as Gil Tene's HdrHistogram lays them out: each value below 64 has a bucket
/// of its own, and each power of two above it is cut into 32 equal ones, so that a bucket is never wider than 1/32 of
/// what it holds. Values from 2^44 on share the last bucket; with nanoseconds those are five hours. A plain value of
/// fixed size without pointers: it may lie in shared memory, where one thread records and others copy it word by word.
class LogHistogram {
public:
    static constexpr unsigned buckets_per_octave = 32;
    static constexpr unsigned octaves = 44;
    static constexpr std::size_t buckets = 2 * buckets_per_octave + (octaves - 6) * buckets_per_octave + 1;

    [[nodiscard]] static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
        if (value < 2 * buckets_per_octave) return static_cast<std::size_t>(value);
        const auto octave = static_cast<unsigned>(std::bit_width(value)) - 1;
        if (octave >= octaves) return buckets - 1;
        const unsigned shift = octave - 5;
        return shift * buckets_per_octave + static_cast<std::size_t>(value >> shift);
    }
    /// The largest value that belongs there.
    [[nodiscard]] static constexpr std::uint64_t last_of(std::size_t bucket) noexcept {
        if (bucket + 1 >= buckets) return std::numeric_limits<std::uint64_t>::max();
        if (bucket < 2 * buckets_per_octave) return bucket;
        const std::size_t shift = bucket / buckets_per_octave - 1;
        return ((std::uint64_t{bucket} - shift * buckets_per_octave + 1) << shift) - 1;
    }

    /// One thread at a time; others may copy meanwhile. No read-modify-write: some nanoseconds.
    void record(std::uint64_t value) noexcept {
        add(counts_[bucket_of(value)], 1);
        add(sum_, value);
        if (value > max_) std::atomic_ref{max_}.store(value, std::memory_order_relaxed);
    }
    /// Exact: as if everything had been recorded here.
    void merge(const LogHistogram& other) noexcept;

    [[nodiscard]] std::uint64_t count() const noexcept;
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
    /// 0 without values.
    [[nodiscard]] double mean() const noexcept;
    [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }
    /// A value that at least that share of the values does not exceed, at most 1/32 above the smallest such value and
    /// never above the largest one; 0 without values. @param share  0 to 1; the median is 0.5.
    [[nodiscard]] std::uint64_t quantile(double share) const noexcept;
    /// How many are not above `limit`; exact where `limit` is one less than a power of two.
    [[nodiscard]] std::uint64_t count_to(std::uint64_t limit) const noexcept;

    friend bool operator==(const LogHistogram&, const LogHistogram&) = default;

private:
    static void add(std::uint64_t& word, std::uint64_t by) noexcept {
        std::atomic_ref{word}.store(word + by, std::memory_order_relaxed);
    }

    std::uint64_t sum_ = 0;
    std::uint64_t max_ = 0;
    std::array<std::uint64_t, buckets> counts_{};
};

}  // namespace penstock
