#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "memory/payload_body.hpp"

namespace penstock {

/// What a frame is. Little-endian throughout; every frame starts with FrameHead.
enum class FrameKind : std::uint8_t {
    ticket = 1,   ///< A payload: Ticket, shape, user id, metadata, blob if inline.
    returns = 2,  ///< Credits and settlements: Returns.
    end = 3,      ///< The sender has sent its last ticket on this edge: End.
    end_ack = 4,  ///< The receiver has settled all of them: End.
    control = 5,  ///< Between an instance and the coordinator: ControlHead and a body.
    // Of a leased channel: LeaseFrame.
    grant = 6,      ///< Consumer to coordinator: so many more may be sent to it.
    ask = 7,        ///< Producer to coordinator: it would like so many, whoever may receive them.
    lease = 8,      ///< Coordinator to producer: so many may be sent to that receiver; 0: it has heard the question.
    give_back = 9,  ///< Producer to coordinator: so many for that receiver were not used.
    recall = 10,    ///< Coordinator to producer: others wait for what it does not use.
};

struct FrameHead {
    std::uint32_t frame_bytes;
    std::uint16_t channel;
    FrameKind kind;
    std::uint8_t flags;
};
static_assert(sizeof(FrameHead) == 8);

/// The description of a payload that travels ahead of its blob.
struct Ticket {
    static constexpr std::uint8_t inline_blob = 1;
    static constexpr std::uint8_t with_user_id = 2;
    static constexpr std::uint8_t with_checksum = 8;

    FrameHead head;
    std::uint64_t edge_sequence;  ///< Position on this edge, from 0 without gaps.
    std::uint64_t id_sequence;
    std::uint16_t id_channel;
    DType dtype;
    Format format;
    std::uint32_t id_instance;
    std::uint64_t blob_offset;
    std::uint64_t blob_bytes;
    std::uint64_t source_time_ns;
    std::uint32_t owner;  ///< Rank whose arena holds the blob.
    std::uint16_t metadata_bytes;
    std::uint8_t dims;
    Codec codec;  ///< Of the blob where its owner keeps it; unless none, its bytes there follow the user id.
};
static_assert(sizeof(Ticket) == 64);

/// A ticket in half the space, for a payload that its sender has made itself and that is complete in the frame: one
/// dimension, no user id, no metadata. The blob follows. FrameHead says `ticket` with the flag `brief`.
struct BriefTicket {
    static constexpr std::uint8_t brief = 4;

    FrameHead head;
    std::uint64_t edge_sequence;
    std::uint64_t source_time_ns;
    std::uint32_t id_ahead;  ///< The id's sequence counts all receivers: so much is it ahead of `edge_sequence`.
    std::uint16_t id_channel;
    DType dtype;
    Format format;
};
static_assert(sizeof(BriefTicket) == 32);

struct Returns {
    FrameHead head;
    std::uint64_t settled_first;  ///< Edge sequence of the first settled payload.
    std::uint32_t settled_count;  ///< That many in a row.
    std::uint32_t credit_payloads;
    std::uint64_t credit_bytes;
};
static_assert(sizeof(Returns) == 32);

struct End {
    FrameHead head;
    std::uint64_t count;  ///< Tickets sent on the edge.
};
static_assert(sizeof(End) == 16);

struct LeaseFrame {
    static constexpr std::uint8_t last = 1;  ///< Flag of a lease: with it the question is answered.

    FrameHead head;
    std::uint32_t receiver;  ///< Its index in the channel; 0 in a grant, which comes from it, and in a question.
    std::uint32_t payloads;
};
static_assert(sizeof(LeaseFrame) == 16);

/// In which form a ticket takes a payload along.
struct TicketForm {
    bool is_inline = false;  ///< The blob is in the frame.
    bool has_checksum = false;
    // Of a blob that is not:
    Codec codec = Codec::none;
    std::uint64_t packed_bytes = 0;
    std::uint64_t offset = 0;  ///< In the owner's arena.

    /// As the owner keeps it, as far as the body says.
    [[nodiscard]] static TicketForm of(const PayloadBody& body, bool is_inline) noexcept {
        if (is_inline) return {.is_inline = true, .offset = body.blob_offset};
        return {.codec = body.codec, .packed_bytes = body.packed_bytes, .offset = body.blob_offset};
    }
};

/// Bytes of the ticket frame for this body.
[[nodiscard]] std::size_t ticket_frame_bytes(const PayloadBody& body, std::uint64_t edge_sequence,
                                             const TicketForm& form) noexcept;

/// Writes the ticket frame. REQUIRES: out has `ticket_frame_bytes`, the blob is resolved if it goes inline, and the
/// body has the checksum if that goes along.
void encode_ticket(const PayloadBody& body, std::uint16_t channel, std::uint64_t edge_sequence, const TicketForm& form,
                   std::span<std::byte> out) noexcept;

/// Reads a ticket frame into a fresh body, copying everything. The blob pointer is set only for an inline blob that
/// fits the body; a larger inline blob is left for the caller to copy.
/// @param sender  The rank it came from. @return what is wrong with the frame, or nothing.
[[nodiscard]] std::optional<std::string> decode_ticket(std::span<const std::byte> frame, std::uint32_t sender,
                                                       PayloadBody& body, std::uint64_t& edge_sequence,
                                                       std::span<const std::byte>& inline_blob);

template <class Frame>
[[nodiscard]] std::optional<Frame> read_frame(std::span<const std::byte> bytes) noexcept {
    if (bytes.size() < sizeof(Frame)) return std::nullopt;
    Frame frame;
    std::memcpy(&frame, bytes.data(), sizeof frame);
    return frame;
}

}  // namespace penstock
