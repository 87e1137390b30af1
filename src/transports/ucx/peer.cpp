#include "transports/ucx/peer.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "transports/ucx/handles.hpp"

namespace penstock::ucx {
namespace {

[[nodiscard]] bool is_under_way(ucs_status_ptr_t request) noexcept {
    return ucp_request_check_status(request) == UCS_INPROGRESS;
}

}  // namespace

ucp_ep_h Endpoint::get() {
    if (endpoint_ != nullptr) return endpoint_;
    ucp_ep_params_t params{};
    params.field_mask =
        UCP_EP_PARAM_FIELD_REMOTE_ADDRESS | UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE | UCP_EP_PARAM_FIELD_ERR_HANDLER;
    params.address = reinterpret_cast<const ucp_address_t*>(address_.data());
    // Takes only lanes that notice a dead peer. UCX's shared memory does not; on one node there is a transport of ours.
    params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
    params.err_handler.cb = &Endpoint::on_error;
    params.err_handler.arg = this;
    const ucs_status_t status = ucp_ep_create(wire_.worker(), &params, &endpoint_);
    if (status != UCS_OK) {
        endpoint_ = nullptr;
        wire_.add({.kind = Kind::broken, .head = {.from = rank_}, .status = status});
    }
    return endpoint_;
}

void Endpoint::on_error(void* self, ucp_ep_h, ucs_status_t status) noexcept {
    auto& endpoint = *static_cast<Endpoint*>(self);
    endpoint.wire_.add({.kind = Kind::broken, .head = {.from = endpoint.rank_}, .status = status});
}

ucs_status_ptr_t Endpoint::close() noexcept {
    if (endpoint_ == nullptr) return nullptr;
    const ucp_request_param_t param{};  // in order: what was sent goes out first
    return ucp_ep_close_nbx(std::exchange(endpoint_, nullptr), &param);
}

void Endpoint::abandon() noexcept {
    if (endpoint_ == nullptr) return;
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_EP_CLOSE_FLAG_FORCE;
    const ucs_status_ptr_t request = ucp_ep_close_nbx(std::exchange(endpoint_, nullptr), &param);
    if (UCS_PTR_IS_PTR(request)) ucp_request_free(request);  // goes on by itself
}

void Peer::connect() {
    if (!lanes_) lanes_ = std::make_unique<Lanes>();
}

Peer::Lane* Peer::spare_lane() noexcept {
    if (sent_ - acknowledged_ >= window) return nullptr;
    for (std::size_t i = 0; i < lanes; ++i) {
        if (i == open_) continue;
        Lane& lane = (*lanes_)[i];
        // What was read was sent, whether UCX has said so or not.
        const bool is_read = static_cast<std::int32_t>(acknowledged_ - lane.head.sequence) > 0;
        if (lane.request != nullptr && !is_read && is_under_way(lane.request)) continue;
        let_go(lane);
        return &lane;
    }
    return nullptr;
}

void Peer::let_go(Lane& lane) noexcept {
    if (lane.request != nullptr) ucp_request_free(std::exchange(lane.request, nullptr));
    lane.buffer.clear();
}

bool Peer::drained() const noexcept {
    return gone() || (open_buffer().empty() && std::none_of(lanes_->begin(), lanes_->end(), [](const Lane& lane) {
                          return lane.request != nullptr && is_under_way(lane.request);
                      }));
}

bool Peer::may_send() noexcept {
    return state == State::here && !open_buffer().empty() && spare_lane() != nullptr;
}

std::span<std::byte> Peer::reserve(std::size_t bytes) {
    auto room = open_buffer().reserve(bytes);
    if (!room.empty()) return room;
    if (gone()) {
        open_buffer().clear();
        return open_buffer().reserve(bytes);
    }
    if (may_send()) {
        send();
        return open_buffer().reserve(bytes);
    }
    flush_wanted_ = true;
    return {};
}

void Peer::commit() {
    open_buffer().commit();
    // Now, for the receiver to work on it while the next one fills.
    if (open_buffer().bytes().size() >= wire_.thresholds().coalesced_bytes && may_send()) send();
}

void Peer::flush() {
    if (may_send()) {
        send();
    } else {
        flush_wanted_ = !open_buffer().empty();
    }
}

Head Peer::next_head() noexcept {
    Head head = wire_.head();
    head.sequence = sent_;
    head.acknowledged = noted_ = read_;
    return head;
}

void Peer::send() {
    const ucp_ep_h to = endpoint.get();
    if (to == nullptr) return;
    Lane& lane = (*lanes_)[open_];
    open_ = static_cast<std::size_t>(spare_lane() - lanes_->data());
    lane.head = next_head();
    ++sent_;
    flush_wanted_ = false;
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS;
    // No rendezvous: the window bounds what is under way, and a message needs no more than one way.
    param.flags = UCP_AM_SEND_FLAG_EAGER;
    const auto message = lane.buffer.bytes();
    const ucs_status_ptr_t request = ucp_am_send_nbx(to, static_cast<unsigned>(Kind::frames), &lane.head,
                                                     sizeof lane.head, message.data(), message.size(), &param);
    if (UCS_PTR_IS_PTR(request)) {
        lane.request = request;  // a failure is one of the connection, which says so
    } else if (UCS_PTR_IS_ERR(request)) {
        wire_.add({.kind = Kind::broken, .head = {.from = rank}, .status = UCS_PTR_STATUS(request)});
    }
}

void Peer::demand(std::uint64_t tag, std::uint64_t offset, std::uint64_t bytes) {
    const ucp_ep_h to = state == State::here ? endpoint.get() : nullptr;
    if (to == nullptr) return;
    Head head = next_head();
    head.tag = tag;
    head.offset = offset;
    head.bytes = bytes;
    wire_.send(to, Kind::demand, head, rank);
}

void Peer::acknowledge(Occasion occasion) {
    if (read_ == noted_ || state != State::here) return;
    if (occasion == Occasion::busy && read_ - noted_ < window / 2) return;
    if (occasion == Occasion::idle && may_send()) return;
    const ucp_ep_h to = endpoint.get();
    if (to != nullptr) wire_.send(to, Kind::note, next_head(), rank);
}

void Peer::say_goodbye() {
    if (state == State::here && endpoint.is_open()) wire_.send(endpoint.get(), Kind::goodbye, next_head(), rank);
}

bool Peer::on_acknowledged(std::uint32_t count) {
    const auto ahead = static_cast<std::int32_t>(count - acknowledged_);
    if (ahead <= 0) return true;  // what was said later came first
    if (count - acknowledged_ > sent_ - acknowledged_) return false;
    acknowledged_ = count;
    if (flush_wanted_) flush();
    return true;
}

bool Peer::on_message(const Event& event) {
    Arrived& slot = arrived_[event.head.sequence % window];
    if (event.data == nullptr || event.head.sequence - read_ >= window || slot.data != nullptr) {
        if (event.data != nullptr) wire_.release(event.data);
        return false;
    }
    slot = {event.data, event.bytes};
    return true;
}

bool Peer::deliver(TransportEvents& events, std::size_t& count) {
    while (connected() && !gone()) {
        Arrived& slot = arrived_[read_ % window];
        if (slot.data == nullptr) return true;
        ++read_;
        const auto give_back = [this](void* data) { wire_.release(data); };
        const std::unique_ptr<void, decltype(give_back)> held{std::exchange(slot.data, nullptr), give_back};
        const bool whole = decode_frames({static_cast<const std::byte*>(held.get()), slot.bytes},
                                         [&](std::span<const std::byte> frame) {
                                             ++count;
                                             events.on_frame(rank, frame);
                                         });
        if (!whole) return false;
    }
    return true;
}

void Peer::leave(State how) noexcept {
    state = how;
    flush_wanted_ = false;
    if (lanes_) {
        for (Lane& lane : *lanes_) let_go(lane);
    }
    for (Arrived& slot : arrived_) {
        if (slot.data != nullptr) wire_.release(std::exchange(slot.data, nullptr));
    }
}

}  // namespace penstock::ucx
