#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "transports/transport.hpp"

namespace penstock::ofi {

enum class Kind : std::uint32_t {
    frames = 1,     ///< A piece of the stream of frames.
    note,           ///< No more than what every header says: how much the sender has dealt with.
    demand,         ///< Asks for a part of a blob, in chunks.
    demand_tagged,  ///< Asks for it in one message under a tag.
    chunk,          ///< Bytes of a blob that was asked for.
    goodbye,        ///< The sender leaves; what breaks afterwards is no failure.
};

/// The beginning of every message. In the byte order of the hosts, which share it.
struct Head {
    std::uint64_t run = 0;  ///< The same random number in all processes of a run; others are not listened to.
    Rank from = 0;
    Kind kind{};
    std::uint32_t sequence = 0;      ///< Of frames: the number of the piece.
    std::uint32_t acknowledged = 0;  ///< How many messages of the receiver the sender has dealt with.
    std::uint32_t window = 0;        ///< How many the receiver may have under way.
    std::uint32_t rail = 0;          ///< Of demands: on which of them what is asked for is to come.
    // Of demands and chunks:
    std::uint64_t tag = 0;
    std::uint64_t offset = 0;  ///< In the owner's arena; of a chunk, in the part.
    std::uint64_t bytes = 0;   ///< Of a demand.
};
static_assert(sizeof(Head) == 56);

/// Whether messages of that kind use up the window. The others are bounded by themselves: a note tells of at least one
/// message that its receiver sent, a chunk was asked for, and nobody says goodbye twice.
[[nodiscard]] constexpr bool needs_credit(Kind kind) noexcept {
    return kind == Kind::frames || kind == Kind::demand || kind == Kind::demand_tagged;
}

/// The header of a message that came in, if it is one of this run.
[[nodiscard]] inline std::optional<Head> head_of(std::span<const std::byte> message, std::uint64_t run,
                                                 Rank ranks) noexcept {
    Head head;
    if (message.size() < sizeof head) return std::nullopt;
    std::memcpy(&head, message.data(), sizeof head);
    const bool is_ours =
        head.run == run && head.from < ranks && head.kind >= Kind::frames && head.kind <= Kind::goodbye;
    return is_ours ? std::optional{head} : std::nullopt;
}

}  // namespace penstock::ofi
