#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/control.hpp"
#include "runtime/frames.hpp"

namespace {

using penstock::PayloadBody;

/// What a ticket says, without where its bytes lie.
[[nodiscard]] bool same(const PayloadBody& a, const PayloadBody& b) {
    return a.id == b.id && a.dtype == b.dtype && a.format == b.format && a.shape == b.shape &&
           a.size_bytes == b.size_bytes && a.blob_offset == b.blob_offset && a.owner == b.owner && a.codec == b.codec &&
           penstock::stored_bytes(a) == penstock::stored_bytes(b) && a.has_checksum == b.has_checksum &&
           (!a.has_checksum || a.checksum == b.checksum) && a.source_time_ns == b.source_time_ns &&
           a.channel == b.channel && a.has_user_id == b.has_user_id && (!a.has_user_id || a.user_id == b.user_id) &&
           std::ranges::equal(a.metadata.view(), b.metadata.view());
}

}  // namespace

// Whatever a peer sends as a frame is refused or a consistent payload; written again, it is read as the same one.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::vector<std::uint8_t> copy(data, data + size);  // of exactly that size
    const auto frame = std::as_bytes(std::span{copy});
    if (const auto message = penstock::read_control(frame)) {
        if (message->text.size() > size) __builtin_trap();
    }

    constexpr std::uint32_t sender = 3;
    PayloadBody body;
    std::uint64_t sequence = 0;
    std::span<const std::byte> inline_blob;
    if (penstock::decode_ticket(frame, sender, body, sequence, inline_blob)) return 0;
    if (body.shape.count() * penstock::size_of(body.dtype) != body.size_bytes) __builtin_trap();
    static_cast<void>(penstock::MetadataView{body.metadata.view()}.find("key"));

    const bool is_inline = !inline_blob.empty();
    if (is_inline) body.data = inline_blob.data();
    // Only what the sender has made itself goes in brief.
    body.received = (penstock::read_frame<penstock::FrameHead>(frame)->flags & penstock::BriefTicket::brief) == 0;
    if (penstock::stored_bytes(body) > body.size_bytes) __builtin_trap();
    auto form = penstock::TicketForm::of(body, is_inline);
    form.has_checksum = body.has_checksum;
    std::vector<std::byte> again(penstock::ticket_frame_bytes(body, sequence, form));
    penstock::encode_ticket(body, body.channel, sequence, form, again);
    PayloadBody second;
    std::uint64_t second_sequence = 0;
    std::span<const std::byte> second_blob;
    if (penstock::decode_ticket(again, sender, second, second_sequence, second_blob)) __builtin_trap();
    if (!same(body, second) || sequence != second_sequence || !std::ranges::equal(inline_blob, second_blob))
        __builtin_trap();
    return 0;
}
