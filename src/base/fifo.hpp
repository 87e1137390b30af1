#pragma once

#include <cstddef>
#include <vector>

namespace penstock {

/// A queue in one piece of memory that grows and never shrinks: no allocation once the working size is reached.
template <class T>
class Fifo {
public:
    explicit Fifo(std::size_t capacity = 16) : items_(round_up(capacity)) {}

    [[nodiscard]] bool empty() const noexcept { return begin_ == end_; }
    [[nodiscard]] std::size_t size() const noexcept { return end_ - begin_; }
    [[nodiscard]] T& front() noexcept { return items_[begin_ & mask()]; }
    /// The element `index` places behind the front.
    [[nodiscard]] T& operator[](std::size_t index) noexcept { return items_[(begin_ + index) & mask()]; }

    void push(T item) {
        if (size() == items_.size()) grow();
        items_[end_++ & mask()] = item;
    }
    T pop() noexcept { return items_[begin_++ & mask()]; }

private:
    [[nodiscard]] static std::size_t round_up(std::size_t wanted) noexcept {
        std::size_t size = 1;
        while (size < wanted) size *= 2;
        return size;
    }
    [[nodiscard]] std::size_t mask() const noexcept { return items_.size() - 1; }
    void grow() {
        std::vector<T> larger(items_.size() * 2);
        const std::size_t count = size();
        for (std::size_t i = 0; i < count; ++i) larger[i] = (*this)[i];
        items_ = std::move(larger);
        begin_ = 0;
        end_ = count;
    }

    std::vector<T> items_;  // a power of two
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

}  // namespace penstock
