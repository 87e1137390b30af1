#include "base/nearest.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <numeric>

namespace penstock {
namespace {

constexpr std::size_t max_word = 64;    // longer words are no typing errors, and the distance is quadratic
constexpr std::size_t max_listed = 24;  // candidates worth reading

char lower(char letter) noexcept {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

/// Edits that turn one word into the other: insert, delete, replace, swap two neighbours. REQUIRES: at most max_word.
std::size_t distance(std::string_view a, std::string_view b) {
    using Row = std::array<std::size_t, max_word + 1>;
    Row before{};
    Row above{};
    Row here{};
    std::iota(above.begin(), above.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        here[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t cost = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
            here[j] = std::min({above[j] + 1, here[j - 1] + 1, above[j - 1] + cost});
            const bool swapped =
                i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]);
            if (swapped) here[j] = std::min(here[j], before[j - 2] + 1);
        }
        before = above;
        above = here;
    }
    return above[b.size()];
}

}  // namespace

std::optional<std::string> nearest(std::string_view word, std::span<const std::string_view> candidates) {
    if (word.empty() || word.size() > max_word) return std::nullopt;
    const std::size_t allowed = std::max<std::size_t>(1, word.size() / 3);
    std::size_t best = allowed + 1;
    std::string_view found;
    for (const auto candidate : candidates) {
        if (candidate.empty() || candidate.size() > std::min(max_word, word.size() + allowed)) continue;
        const std::size_t edits = distance(word, candidate);
        if (edits >= best || edits >= std::max(word.size(), candidate.size())) continue;
        best = edits;
        found = candidate;
    }
    if (found.empty() && word.size() >= 3) {
        const auto longer =
            std::ranges::find_if(candidates, [word](std::string_view name) { return name.starts_with(word); });
        if (longer != candidates.end()) found = *longer;
    }
    if (found.empty()) return std::nullopt;
    return std::string{found};
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates,
                       std::string_view introduction) {
    if (const auto meant = nearest(word, candidates)) return "; did you mean \"" + *meant + "\"?";
    std::string text = "; ";
    text.append(introduction);
    if (candidates.empty()) return text + " none";
    for (std::size_t i = 0; i < std::min(candidates.size(), max_listed); ++i) {
        text.append(i == 0 ? " " : ", ").append(candidates[i]);
    }
    if (candidates.size() > max_listed) text += ", and " + std::to_string(candidates.size() - max_listed) + " more";
    return text;
}

}  // namespace penstock
