#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace penstock::doctor {

using Rgb = std::array<std::uint8_t, 3>;

struct Box {
    int x = 0;
    int y = 0;
    int width = 0;
    int height = 0;
};

enum class Align : std::uint8_t { left, middle, right };

/// What a picture is drawn on, white at first. Units are those of the picture, y goes down.
class Canvas {
public:
    /// Of one character of plain text, at most.
    static constexpr int character_width = 6;

    virtual ~Canvas() = default;
    /// @param about  More about it, for those who ask; not every kind of picture can keep that.
    virtual void box(const Box& box, Rgb colour, std::string_view about) = 0;
    /// @param y  Of the line that the text stands on.
    virtual void text(int x, int y, Align align, std::string_view text) = 0;
    virtual void title(int x, int y, std::string_view text) = 0;
};

}  // namespace penstock::doctor
