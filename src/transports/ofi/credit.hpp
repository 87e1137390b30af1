#pragma once

#include <cstdint>

namespace penstock::ofi {

/// What a sender may have under way to one receiver, which has a buffer for each of these messages.
class Credit {
public:
    explicit Credit(std::uint32_t window) noexcept : window_{window} {}

    [[nodiscard]] std::uint32_t window() const noexcept { return window_; }
    [[nodiscard]] std::uint32_t under_way() const noexcept { return sent_ - acknowledged_; }
    [[nodiscard]] std::uint32_t left() const noexcept { return window_ - under_way(); }
    /// REQUIRES: left() != 0.
    void on_sent() noexcept { ++sent_; }
    /// The receiver has dealt with that many in all. @return false if it cannot have.
    [[nodiscard]] bool on_acknowledged(std::uint32_t count) noexcept {
        if (static_cast<std::int32_t>(count - acknowledged_) <= 0) return true;  // what was said later came first
        if (count - acknowledged_ > under_way()) return false;
        acknowledged_ = count;
        return true;
    }
    /// A window only grows. @return by how much it did.
    std::uint32_t grow_to(std::uint32_t window) noexcept {
        if (window <= window_) return 0;
        const std::uint32_t more = window - window_;
        window_ = window;
        return more;
    }

private:
    std::uint32_t window_;
    std::uint32_t sent_ = 0;
    std::uint32_t acknowledged_ = 0;
};

/// The other side: what a receiver has dealt with, and what of it the sender was told.
class Debt {
public:
    explicit Debt(std::uint32_t window) noexcept : window_{window}, told_window_{window} {}

    [[nodiscard]] std::uint32_t window() const noexcept { return window_; }
    void grow_to(std::uint32_t window) noexcept { window_ = window; }
    void on_dealt_with() noexcept { ++dealt_with_; }
    [[nodiscard]] bool is_untold() const noexcept { return dealt_with_ != told_; }
    /// Whether the sender would soon have to stop: a quarter of the window that it knows of is used up.
    [[nodiscard]] bool is_pressing() const noexcept { return 4 * (dealt_with_ - told_) >= told_window_; }
    [[nodiscard]] std::uint32_t dealt_with() const noexcept { return dealt_with_; }
    /// A message has said all of it, the window included.
    void on_told() noexcept {
        told_ = dealt_with_;
        told_window_ = window_;
    }

private:
    std::uint32_t window_;
    std::uint32_t told_window_;
    std::uint32_t dealt_with_ = 0;
    std::uint32_t told_ = 0;
};

}  // namespace penstock::ofi
