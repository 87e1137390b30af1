#include "runtime/frames.hpp"

#include <array>
#include <cstring>
#include <limits>

namespace penstock {
namespace {

/// Shape, user id and metadata stand between the ticket and the blob. One dimension follows from the blob's size.
[[nodiscard]] std::size_t middle_bytes(const PayloadBody& body) noexcept {
    const std::size_t dims = body.shape.dims() == 1 ? 0 : body.shape.dims();
    return dims * sizeof(std::uint64_t) + (body.has_user_id ? sizeof(std::uint64_t) : 0) + body.metadata.view().size();
}

template <class T>
void put(std::byte*& out, const T* values, std::size_t bytes) noexcept {
    if (bytes != 0) std::memcpy(out, values, bytes);
    out += bytes;
}

[[nodiscard]] bool is_brief(const PayloadBody& body, std::uint64_t edge_sequence, bool inline_blob) noexcept {
    return inline_blob && !body.received && !body.has_user_id && body.shape.dims() == 1 &&
           body.metadata.view().empty() && body.id.instance == body.owner &&
           body.id.sequence - edge_sequence <= std::numeric_limits<std::uint32_t>::max();
}

/// Takes over a blob that came in the frame, if the body has room for it.
void take_inline_blob(std::span<const std::byte> blob, PayloadBody& body) noexcept {
    if (blob.size() > inline_blob_bytes) return;
    std::memcpy(body.inline_blob.data(), blob.data(), blob.size());
    body.data = body.inline_blob.data();
}

[[nodiscard]] std::optional<std::string> decode_brief_ticket(std::span<const std::byte> frame, std::uint32_t sender,
                                                             PayloadBody& body, std::uint64_t& edge_sequence,
                                                             std::span<const std::byte>& inline_blob) {
    const auto ticket = read_frame<BriefTicket>(frame);
    if (!ticket || ticket->head.frame_bytes != frame.size()) return "a ticket of impossible length";
    if (static_cast<std::size_t>(ticket->dtype) >= dtype_count) return "a ticket with an unknown dtype";
    if (ticket->format > Format::raw) return "a ticket with an unknown format";
    inline_blob = frame.subspan(sizeof(BriefTicket));
    const std::size_t element = size_of(ticket->dtype);
    if (inline_blob.size() % element != 0) return "a ticket whose shape does not fit its blob";

    edge_sequence = ticket->edge_sequence;
    body.id = {sender, ticket->id_channel, ticket->edge_sequence + ticket->id_ahead};
    body.dtype = ticket->dtype;
    body.format = ticket->format;
    body.shape = Shape{inline_blob.size() / element};
    body.size_bytes = inline_blob.size();
    body.blob_offset = 0;
    body.owner = sender;
    body.source_time_ns = ticket->source_time_ns;
    body.channel = ticket->head.channel;
    body.has_user_id = false;
    take_inline_blob(inline_blob, body);
    return std::nullopt;
}

}  // namespace

std::size_t ticket_frame_bytes(const PayloadBody& body, std::uint64_t edge_sequence, bool inline_blob) noexcept {
    if (is_brief(body, edge_sequence, inline_blob)) return sizeof(BriefTicket) + body.size_bytes;
    return sizeof(Ticket) + middle_bytes(body) + (inline_blob ? body.size_bytes : 0);
}

void encode_ticket(const PayloadBody& body, std::uint16_t channel, std::uint64_t edge_sequence, bool inline_blob,
                   std::span<std::byte> out) noexcept {
    std::byte* at = out.data();
    if (is_brief(body, edge_sequence, inline_blob)) {
        const BriefTicket ticket{
            .head = {static_cast<std::uint32_t>(out.size()), channel, FrameKind::ticket, BriefTicket::brief},
            .edge_sequence = edge_sequence,
            .source_time_ns = body.source_time_ns,
            .id_ahead = static_cast<std::uint32_t>(body.id.sequence - edge_sequence),
            .id_channel = body.id.channel,
            .dtype = body.dtype,
            .format = body.format};
        put(at, &ticket, sizeof ticket);
        return put(at, body.data, body.size_bytes);
    }
    const auto metadata = body.metadata.view();
    const auto flags = static_cast<std::uint8_t>((inline_blob ? Ticket::inline_blob : 0) |
                                                 (body.has_user_id ? Ticket::with_user_id : 0));
    const Ticket ticket{.head = {static_cast<std::uint32_t>(out.size()), channel, FrameKind::ticket, flags},
                        .edge_sequence = edge_sequence,
                        .id_sequence = body.id.sequence,
                        .id_channel = body.id.channel,
                        .dtype = body.dtype,
                        .format = body.format,
                        .id_instance = body.id.instance,
                        .blob_offset = body.blob_offset,
                        .blob_bytes = body.size_bytes,
                        .source_time_ns = body.source_time_ns,
                        .owner = body.owner,
                        .metadata_bytes = static_cast<std::uint16_t>(metadata.size()),
                        .dims = static_cast<std::uint8_t>(body.shape.dims()),
                        .reserved = 0};
    put(at, &ticket, sizeof ticket);
    if (body.shape.dims() != 1) put(at, body.shape.extents().data(), body.shape.extents().size_bytes());
    if (body.has_user_id) put(at, &body.user_id, sizeof body.user_id);
    put(at, metadata.data(), metadata.size());
    if (inline_blob) put(at, body.data, body.size_bytes);
}

std::optional<std::string> decode_ticket(std::span<const std::byte> frame, std::uint32_t sender, PayloadBody& body,
                                         std::uint64_t& edge_sequence, std::span<const std::byte>& inline_blob) {
    const auto head = read_frame<FrameHead>(frame);
    if (head && (head->flags & BriefTicket::brief) != 0) {
        return decode_brief_ticket(frame, sender, body, edge_sequence, inline_blob);
    }
    const auto ticket = read_frame<Ticket>(frame);
    if (!ticket || ticket->head.frame_bytes != frame.size()) return "a ticket of impossible length";
    const bool is_inline = (ticket->head.flags & Ticket::inline_blob) != 0;
    const bool has_user_id = (ticket->head.flags & Ticket::with_user_id) != 0;
    if (static_cast<std::size_t>(ticket->dtype) >= dtype_count) return "a ticket with an unknown dtype";
    if (ticket->format > Format::raw) return "a ticket with an unknown format";
    if (ticket->dims > Shape::max_dims) return "a ticket with more than 8 dimensions";

    const std::size_t dims = ticket->dims == 1 ? 0 : ticket->dims;
    const std::size_t middle =
        dims * sizeof(std::uint64_t) + (has_user_id ? sizeof(std::uint64_t) : 0) + std::size_t{ticket->metadata_bytes};
    const std::size_t rest = frame.size() - sizeof(Ticket);
    if (rest < middle || rest - middle != (is_inline ? ticket->blob_bytes : 0)) return "a ticket of impossible length";

    const std::size_t element = size_of(ticket->dtype);
    const std::byte* at = frame.data() + sizeof(Ticket);
    std::array<std::uint64_t, Shape::max_dims> extents{};
    std::memcpy(extents.data(), at, dims * sizeof(std::uint64_t));
    at += dims * sizeof(std::uint64_t);
    if (ticket->dims == 1) extents[0] = ticket->blob_bytes / element;
    std::uint64_t elements = ticket->dims == 0 ? 0 : 1;
    for (std::size_t dim = 0; dim < ticket->dims; ++dim) {
        // The limit of Shape, which would throw.
        constexpr std::uint64_t most_elements = std::uint64_t{1} << 63U;
        if (__builtin_mul_overflow(elements, extents[dim], &elements) || elements > most_elements) {
            return "a ticket with an impossible shape";
        }
    }
    std::uint64_t shape_bytes = 0;
    if (__builtin_mul_overflow(elements, element, &shape_bytes) || shape_bytes != ticket->blob_bytes) {
        return "a ticket whose shape does not fit its blob";
    }

    edge_sequence = ticket->edge_sequence;
    body.id = {ticket->id_instance, ticket->id_channel, ticket->id_sequence};
    body.dtype = ticket->dtype;
    body.format = ticket->format;
    body.shape = Shape{std::span<const std::uint64_t>{extents.data(), ticket->dims}};
    body.size_bytes = ticket->blob_bytes;
    body.blob_offset = ticket->blob_offset;
    body.owner = ticket->owner;
    body.source_time_ns = ticket->source_time_ns;
    body.channel = ticket->head.channel;
    body.has_user_id = has_user_id;
    if (has_user_id) {
        std::memcpy(&body.user_id, at, sizeof body.user_id);
        at += sizeof body.user_id;
    }
    if (ticket->metadata_bytes != 0) {
        std::memcpy(body.metadata.assign(ticket->metadata_bytes), at, ticket->metadata_bytes);
        at += ticket->metadata_bytes;
    }
    inline_blob =
        is_inline ? std::span{at, static_cast<std::size_t>(ticket->blob_bytes)} : std::span<const std::byte>{};
    if (is_inline) take_inline_blob(inline_blob, body);
    return std::nullopt;
}

}  // namespace penstock
