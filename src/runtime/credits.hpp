#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace penstock {

/// The right to put payloads into one consumer's queue: a number of payloads and of bytes.
class Credits {
public:
    Credits() noexcept = default;
    Credits(std::uint64_t payloads, std::uint64_t bytes) noexcept
        : payloads_{payloads}, bytes_{bytes}, all_bytes_{bytes} {}

    /// A payload larger than the whole allowance may go alone: when nothing else is under way.
    [[nodiscard]] bool allow(std::uint64_t bytes) const noexcept {
        return payloads_ > 0 && (bytes <= bytes_ || bytes_ == all_bytes_);
    }
    /// REQUIRES: allow(bytes).
    void take(std::uint64_t bytes) noexcept {
        --payloads_;
        bytes_ -= std::min(bytes, bytes_);
    }
    /// `bytes` as it was taken.
    void give(std::uint64_t payloads, std::uint64_t bytes) noexcept {
        payloads_ += payloads;
        bytes_ = std::min(bytes_ + bytes, all_bytes_);
    }
    /// Takes all that are left. @return how many payloads.
    [[nodiscard]] std::uint64_t surrender() noexcept { return std::exchange(payloads_, 0); }
    [[nodiscard]] std::uint64_t payloads() const noexcept { return payloads_; }

private:
    std::uint64_t payloads_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t all_bytes_ = 0;
};

}  // namespace penstock
