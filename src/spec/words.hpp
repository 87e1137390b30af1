#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/spec.hpp>

namespace penstock {

/// One word of the pipeline file and what it stands for.
template <class Value>
struct Word {
    std::string_view name;
    Value value;
};

/// The words of one key. `later` are words of the design that this version does not know yet.
template <class Value>
struct Vocabulary {
    std::span<const Word<Value>> words;
    std::span<const std::string_view> later = {};

    [[nodiscard]] std::optional<Value> find(std::string_view name) const noexcept {
        const auto word = std::ranges::find(words, name, &Word<Value>::name);
        if (word == words.end()) return std::nullopt;
        return word->value;
    }
    [[nodiscard]] std::string_view name_of(Value value) const noexcept {
        const auto word = std::ranges::find(words, value, &Word<Value>::value);
        return word == words.end() ? std::string_view{"?"} : word->name;
    }
    [[nodiscard]] bool is_later(std::string_view name) const noexcept {
        return std::ranges::find(later, name) != later.end();
    }
};

/// Legal names of one vocabulary, in its order.
template <class Value>
[[nodiscard]] std::vector<std::string_view> names_of(const Vocabulary<Value>& vocabulary) {
    std::vector<std::string_view> names;
    for (const auto& word : vocabulary.words) names.push_back(word.name);
    return names;
}

namespace vocabulary {

inline constexpr std::array device_words{Word<Device>{"cpu", Device::cpu}, Word<Device>{"gpu", Device::gpu}};
inline constexpr std::array route_words{Word<Route>{"balance", Route::balance},
                                        Word<Route>{"round_robin", Route::round_robin},
                                        Word<Route>{"hash", Route::hash}, Word<Route>{"broadcast", Route::broadcast}};
inline constexpr std::array overflow_words{
    Word<Overflow>{"block", Overflow::block}, Word<Overflow>{"drop_oldest", Overflow::drop_oldest},
    Word<Overflow>{"drop_newest", Overflow::drop_newest}, Word<Overflow>{"latest", Overflow::latest},
    Word<Overflow>{"error", Overflow::error}};
inline constexpr std::array transport_words{
    Word<TransportKind>{"auto", TransportKind::automatic}, Word<TransportKind>{"shm", TransportKind::shm},
    Word<TransportKind>{"ucx", TransportKind::ucx}, Word<TransportKind>{"ofi", TransportKind::ofi},
    Word<TransportKind>{"mpi", TransportKind::mpi}};
inline constexpr std::array dispatch_words{
    Word<Dispatch>{"auto", Dispatch::automatic}, Word<Dispatch>{"direct", Dispatch::direct},
    Word<Dispatch>{"leased", Dispatch::leased}, Word<Dispatch>{"central", Dispatch::central}};
inline constexpr std::array by_words{Word<PassBy>{"reference", PassBy::reference},
                                     Word<PassBy>{"value", PassBy::value}};

inline constexpr std::array codec_words{
    Word<Codec>{name_of(Codec::none), Codec::none}, Word<Codec>{name_of(Codec::lz4), Codec::lz4},
    Word<Codec>{name_of(Codec::zstd), Codec::zstd}, Word<Codec>{name_of(Codec::zlib), Codec::zlib}};
inline constexpr std::array checksum_words{Word<Checksum>{name_of(Checksum::none), Checksum::none},
                                           Word<Checksum>{name_of(Checksum::crc32c), Checksum::crc32c}};

/// Those without more to say. The others are objects.
inline constexpr std::array placement_words{Word<PlacementRule>{"spread", PlacementRule::spread},
                                            Word<PlacementRule>{"pack", PlacementRule::pack}};

inline constexpr std::array<std::string_view, 1> later_overflows{"spill"};

inline constexpr Vocabulary<Device> device{device_words};
inline constexpr Vocabulary<Route> route{route_words};
inline constexpr Vocabulary<Overflow> overflow{overflow_words, later_overflows};
inline constexpr Vocabulary<TransportKind> transport{transport_words};
inline constexpr Vocabulary<Dispatch> dispatch{dispatch_words};
inline constexpr Vocabulary<PassBy> by{by_words};
inline constexpr Vocabulary<Codec> codec{codec_words};
inline constexpr Vocabulary<Checksum> checksum{checksum_words};
inline constexpr Vocabulary<PlacementRule> placement{placement_words};

}  // namespace vocabulary
}  // namespace penstock
