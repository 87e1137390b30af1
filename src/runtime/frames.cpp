#include "runtime/frames.hpp"

#include <array>
#include <cstring>
#include <limits>

namespace penstock {
namespace {

/// What stands between the ticket and the blob, in this order but for the metadata.
struct Middle {
    std::size_t dims = 0;  ///< One dimension follows from the blob's size.
    bool has_user_id = false;
    bool is_packed = false;
    bool has_checksum = false;
    std::size_t metadata_bytes = 0;

    [[nodiscard]] std::size_t bytes() const noexcept {
        return (dims == 1 ? 0 : dims) * sizeof(std::uint64_t) + (has_user_id ? sizeof(PayloadBody::user_id) : 0) +
               (is_packed ? sizeof(TicketForm::packed_bytes) : 0) + (has_checksum ? sizeof(PayloadBody::checksum) : 0) +
               metadata_bytes;
    }
};

[[nodiscard]] Middle middle_of(const PayloadBody& body, const TicketForm& form) noexcept {
    return {.dims = body.shape.dims(),
            .has_user_id = body.has_user_id,
            .is_packed = form.codec != Codec::none,
            .has_checksum = form.has_checksum,
            .metadata_bytes = body.metadata.view().size()};
}

template <class T>
void get(const std::byte*& at, T& value) noexcept {
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
}

template <class T>
void put(std::byte*& out, const T* values, std::size_t bytes) noexcept {
    if (bytes != 0) std::memcpy(out, values, bytes);
    out += bytes;
}

[[nodiscard]] bool is_brief(const PayloadBody& body, std::uint64_t edge_sequence, const TicketForm& form) noexcept {
    return form.is_inline && !form.has_checksum && !body.received && !body.has_user_id && body.shape.dims() == 1 &&
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

std::size_t ticket_frame_bytes(const PayloadBody& body, std::uint64_t edge_sequence, const TicketForm& form) noexcept {
    if (is_brief(body, edge_sequence, form)) return sizeof(BriefTicket) + body.size_bytes;
    return sizeof(Ticket) + middle_of(body, form).bytes() + (form.is_inline ? body.size_bytes : 0);
}

void encode_ticket(const PayloadBody& body, std::uint16_t channel, std::uint64_t edge_sequence, const TicketForm& form,
                   std::span<std::byte> out) noexcept {
    std::byte* at = out.data();
    if (is_brief(body, edge_sequence, form)) {
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
    const auto flags = static_cast<std::uint8_t>((form.is_inline ? Ticket::inline_blob : 0) |
                                                 (body.has_user_id ? Ticket::with_user_id : 0) |
                                                 (form.has_checksum ? Ticket::with_checksum : 0));
    const Ticket ticket{.head = {static_cast<std::uint32_t>(out.size()), channel, FrameKind::ticket, flags},
                        .edge_sequence = edge_sequence,
                        .id_sequence = body.id.sequence,
                        .id_channel = body.id.channel,
                        .dtype = body.dtype,
                        .format = body.format,
                        .id_instance = body.id.instance,
                        .blob_offset = form.offset,
                        .blob_bytes = body.size_bytes,
                        .source_time_ns = body.source_time_ns,
                        .owner = body.owner,
                        .metadata_bytes = static_cast<std::uint16_t>(metadata.size()),
                        .dims = static_cast<std::uint8_t>(body.shape.dims()),
                        .codec = form.codec};
    put(at, &ticket, sizeof ticket);
    if (body.shape.dims() != 1) put(at, body.shape.extents().data(), body.shape.extents().size_bytes());
    if (body.has_user_id) put(at, &body.user_id, sizeof body.user_id);
    if (form.codec != Codec::none) put(at, &form.packed_bytes, sizeof form.packed_bytes);
    if (form.has_checksum) put(at, &body.checksum, sizeof body.checksum);
    put(at, metadata.data(), metadata.size());
    if (form.is_inline) put(at, body.data, body.size_bytes);
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
    const Middle parts{.dims = ticket->dims,
                       .has_user_id = (ticket->head.flags & Ticket::with_user_id) != 0,
                       .is_packed = ticket->codec != Codec::none,
                       .has_checksum = (ticket->head.flags & Ticket::with_checksum) != 0,
                       .metadata_bytes = ticket->metadata_bytes};
    if (static_cast<std::size_t>(ticket->dtype) >= dtype_count) return "a ticket with an unknown dtype";
    if (ticket->format > Format::raw) return "a ticket with an unknown format";
    if (ticket->dims > Shape::max_dims) return "a ticket with more than 8 dimensions";
    if (static_cast<std::size_t>(ticket->codec) >= codec_count) return "a ticket with an unknown codec";
    if (parts.is_packed && is_inline) return "a ticket with a compressed blob that is none";

    const std::size_t dims = ticket->dims == 1 ? 0 : ticket->dims;
    const std::size_t middle = parts.bytes();
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
    if (parts.has_user_id) get(at, body.user_id);
    if (parts.is_packed) get(at, body.packed_bytes);
    if (parts.has_checksum) get(at, body.checksum);
    // A blob that does not get smaller has no compressed form.
    if (parts.is_packed && (body.packed_bytes == 0 || body.packed_bytes >= ticket->blob_bytes)) {
        return "a ticket with a compressed blob of impossible size";
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
    body.has_user_id = parts.has_user_id;
    body.codec = ticket->codec;
    body.has_checksum = parts.has_checksum;
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
