#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "runtime/frames.hpp"
#include "runtime/reactor.hpp"

namespace penstock {

/// What instances and the coordinator say to each other.
enum class ControlCode : std::uint8_t {
    ready = 1,         ///< Instance: constructed; `number` is the offset of its status block in its arena.
    go = 2,            ///< Coordinator: everybody is ready.
    stop = 3,          ///< Coordinator: sources end their streams.
    abort = 4,         ///< Coordinator: leave at once; `number` is the exit code, `text` the reason.
    failed = 5,        ///< Instance: `number` is the exit code, `text` the error.
    status = 6,        ///< Instance: a part of its status block, from byte `number` on.
    done = 7,          ///< Instance: ended, everything settled; its last status has been sent.
    bye = 8,           ///< Coordinator: all are done.
    stop_request = 9,  ///< Instance: it was asked to stop by signal `number`.
};

struct ControlHead {
    FrameHead head;
    ControlCode code;
    std::uint8_t reserved[7];
    std::uint64_t number;
};
static_assert(sizeof(ControlHead) == 24);

struct ControlMessage {
    ControlCode code;
    std::uint64_t number;
    std::string_view text;
};

/// @return nothing if the frame is broken.
[[nodiscard]] inline std::optional<ControlMessage> read_control(std::span<const std::byte> frame) noexcept {
    const auto head = read_frame<ControlHead>(frame);
    if (!head || head->code < ControlCode::ready || head->code > ControlCode::stop_request) return std::nullopt;
    return ControlMessage{
        head->code,
        head->number,
        {reinterpret_cast<const char*>(frame.data()) + sizeof(ControlHead), frame.size() - sizeof(ControlHead)}};
}

/// Longer texts are cut.
inline constexpr std::size_t longest_control_text = 16U << 10U;

/// Sends a message if the outbox has room. @return whether it had.
[[nodiscard]] inline bool try_send_control(Transport& transport, Rank peer, const ControlMessage& message) {
    const std::string_view text = message.text.substr(0, longest_control_text);
    const std::size_t bytes = sizeof(ControlHead) + text.size();
    const auto room = transport.reserve(peer, bytes);
    if (room.empty()) return false;
    const ControlHead head{.head = {static_cast<std::uint32_t>(bytes), 0, FrameKind::control, 0},
                           .code = message.code,
                           .reserved = {},
                           .number = message.number};
    std::memcpy(room.data(), &head, sizeof head);
    if (!text.empty()) std::memcpy(room.data() + sizeof head, text.data(), text.size());
    transport.commit(peer);
    transport.flush();
    return true;
}

inline void send_control(Reactor& reactor, Transport& transport, Rank peer, const ControlMessage& message) {
    while (!try_send_control(transport, peer, message)) reactor.wait(Activity::waiting_for_outbox, 0);
}

}  // namespace penstock
