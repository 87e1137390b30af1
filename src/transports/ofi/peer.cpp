#include "transports/ofi/peer.hpp"

#include <algorithm>

namespace penstock::ofi {

void Peer::connect() {
    if (!buffer_) buffer_ = std::make_unique<FrameBuffer>();
    meet();
}

void Peer::meet() {
    if (is_met_) return;
    is_met_ = true;
    wire_.add_receives(wire_.window() - debt_.window());
    wire_.add_sends(wire_.window());
    debt_.grow_to(wire_.window());
}

bool Peer::drained() const noexcept {
    // What libfabric has sent needs no more of us. Its receiver may stop to listen without having said that it is
    // there.
    return gone() || (unsent().empty() && (is_read() || !wire_.is_sending(rank)));
}

std::span<std::byte> Peer::reserve(std::size_t bytes) {
    auto room = buffer_->reserve(bytes);
    if (!room.empty()) return room;
    if (gone()) {
        buffer_->clear();
        cut_ = 0;
        return buffer_->reserve(bytes);
    }
    send_frames(1);
    room = buffer_->reserve(bytes);
    flush_wanted_ = room.empty();
    return room;
}

void Peer::commit() {
    buffer_->commit();
    send_frames(wire_.room());
}

void Peer::flush() {
    send_frames(1);
    flush_wanted_ = !unsent().empty();
}

void Peer::go_on() {
    if (flush_wanted_) flush();
}

void Peer::send_frames(std::size_t at_least) {
    while (may_send_frames() && unsent().size() >= at_least) {
        const auto piece = unsent().first(std::min(unsent().size(), wire_.room()));
        Head head = next_head(Kind::frames);
        head.sequence = next_piece_;
        if (!wire_.send(rank, head, piece)) return;
        debt_.on_told();
        credit_.on_sent();
        ++next_piece_;
        cut_ += piece.size();
        if (!unsent().empty()) continue;
        buffer_->clear();
        cut_ = 0;
    }
}

Head Peer::next_head(Kind kind) noexcept {
    return {.kind = kind, .acknowledged = debt_.dealt_with(), .window = debt_.window()};
}

bool Peer::demand(Kind kind, std::uint32_t rail, std::uint64_t tag, std::uint64_t offset, std::uint64_t bytes) {
    if (state != State::here || credit_.left() == 0) return false;
    Head head = next_head(kind);
    head.rail = rail;
    head.tag = tag;
    head.offset = offset;
    head.bytes = bytes;
    if (!wire_.send(rank, head, {})) return false;
    debt_.on_told();
    credit_.on_sent();
    return true;
}

bool Peer::send_chunk(std::uint32_t rail, std::uint64_t tag, std::uint64_t offset, std::span<const std::byte> bytes) {
    Head head = next_head(Kind::chunk);
    head.tag = tag;
    head.offset = offset;
    if (!wire_.send_in_place(rank, rail, head, bytes)) return false;
    debt_.on_told();
    return true;
}

void Peer::acknowledge(Occasion occasion) {
    if (!debt_.is_untold() || state != State::here) return;
    if (occasion == Occasion::busy && !debt_.is_pressing()) return;
    if (wire_.send(rank, next_head(Kind::note), {})) debt_.on_told();
}

bool Peer::say_goodbye() {
    return wire_.send(rank, next_head(Kind::goodbye), {});
}

bool Peer::on_head(const Head& head) {
    meet();
    if (head.window > wire_.window() || !credit_.on_acknowledged(head.acknowledged)) return false;
    wire_.add_receives(credit_.grow_to(head.window));  // for the notes about what we send
    return true;
}

bool Peer::on_frames(const Head& head, const Arrived& message) {
    return pieces_.add(head.sequence, message);
}

bool Peer::deliver(TransportEvents& events, std::size_t& count) {
    while (connected() && !gone()) {
        const auto piece = pieces_.take();
        if (!piece) return true;
        const bool whole = stream_.add(piece->message().subspan(sizeof(Head)), [&](std::span<const std::byte> frame) {
            ++count;
            events.on_frame(rank, frame);
        });
        wire_.release(*piece->slot);
        on_dealt_with();
        if (!whole) return false;
    }
    return true;
}

void Peer::leave(State how) noexcept {
    state = how;
    flush_wanted_ = false;
    if (buffer_) buffer_->clear();
    cut_ = 0;
    while (const auto piece = pieces_.take_any()) wire_.release(*piece->slot);
}

}  // namespace penstock::ofi
