#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace penstock::ofi {

/// Puts what has a number back into order. Numbers begin at zero and wrap around.
template <class Item>
class Reorder {
public:
    /// @param window  What may be missing or waiting at a time. A power of two.
    explicit Reorder(std::uint32_t window) : items_(window) {}

    /// @return false if that number is beyond the window, or was there.
    [[nodiscard]] bool add(std::uint32_t number, Item item) {
        std::optional<Item>& place = items_[number % items_.size()];
        if (number - next_ >= items_.size() || place) return false;
        place = std::move(item);
        return true;
    }
    /// The next in order, if it is there.
    [[nodiscard]] std::optional<Item> take() {
        std::optional<Item>& place = items_[next_ % items_.size()];
        if (!place) return std::nullopt;
        ++next_;
        return std::exchange(place, std::nullopt);
    }
    /// Any that waits, in whatever order: for giving up.
    [[nodiscard]] std::optional<Item> take_any() {
        for (std::optional<Item>& place : items_) {
            if (place) return std::exchange(place, std::nullopt);
        }
        return std::nullopt;
    }

private:
    std::vector<std::optional<Item>> items_;
    std::uint32_t next_ = 0;
};

}  // namespace penstock::ofi
