#include "transports/ucx/wire.hpp"

#include <cstring>

#include "transports/ucx/handles.hpp"

namespace penstock::ucx {
namespace {

constexpr std::size_t usual_events = 1024;
constexpr int rounds_per_poll = 8;

}  // namespace

Wire::Wire(ucp_worker_h worker, std::uint64_t run, Rank self, Rank ranks)
    : worker_{worker}, run_{run}, self_{self}, ranks_{ranks} {
    events_.reserve(usual_events);
    free_.reserve(usual_events);
    for (std::size_t i = 0; i < 64; ++i) free_.push_back(&small_.emplace_back(Small{this, {}}));
    listen<Kind::frames>();
    listen<Kind::note>();
    listen<Kind::demand>();
    listen<Kind::goodbye>();
}

template <Kind kind>
void Wire::listen() {
    ucp_am_handler_param_t param{};
    param.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID | UCP_AM_HANDLER_PARAM_FIELD_FLAGS |
                       UCP_AM_HANDLER_PARAM_FIELD_CB | UCP_AM_HANDLER_PARAM_FIELD_ARG;
    param.id = static_cast<unsigned>(kind);
    param.flags = UCP_AM_FLAG_WHOLE_MSG | UCP_AM_FLAG_PERSISTENT_DATA;
    param.cb = &Wire::on_message<kind>;
    param.arg = this;
    check(ucp_worker_set_am_recv_handler(worker_, &param), "ucp_worker_set_am_recv_handler");
}

template <Kind kind>
ucs_status_t Wire::on_message(void* wire, const void* header, std::size_t header_bytes, void* data, std::size_t bytes,
                              const ucp_am_recv_param_t* param) noexcept {
    auto& self = *static_cast<Wire*>(wire);
    Event event{.kind = kind, .head = {}};
    if (header_bytes != sizeof event.head) return UCS_OK;  // not of this program
    std::memcpy(&event.head, header, sizeof event.head);
    if (event.head.run != self.run_ || event.head.from >= self.ranks_) return UCS_OK;  // not of this run
    // Frames are sent eagerly; what was announced only is not fetched, and its sender breaks the protocol.
    const bool keep = kind == Kind::frames && bytes != 0 && (param->recv_attr & UCP_AM_RECV_ATTR_FLAG_DATA) != 0;
    if (keep) {
        event.data = data;
        event.bytes = bytes;
    }
    self.events_.push_back(event);
    return keep ? UCS_INPROGRESS : UCS_OK;
}

void Wire::progress() noexcept {
    for (int round = 0; round < rounds_per_poll && ucp_worker_progress(worker_) != 0; ++round) {
    }
}

bool Wire::take(Event& event) noexcept {
    if (next_ == events_.size()) {
        events_.clear();
        next_ = 0;
        return false;
    }
    event = events_[next_++];
    return true;
}

void Wire::send(ucp_ep_h endpoint, Kind kind, const Head& head, Rank to) {
    if (free_.empty()) {
        free_.reserve(small_.size() + 1);
        free_.push_back(&small_.emplace_back(Small{this, {}}));
    }
    Small* small = free_.back();
    free_.pop_back();
    small->head = head;
    ucp_request_param_t param{};
    param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
    param.flags = UCP_AM_SEND_FLAG_EAGER;
    param.cb.send = &Wire::on_small_sent;
    param.user_data = small;
    const ucs_status_ptr_t request =
        ucp_am_send_nbx(endpoint, static_cast<unsigned>(kind), &small->head, sizeof small->head, nullptr, 0, &param);
    if (UCS_PTR_IS_PTR(request)) return;
    free_.push_back(small);
    if (UCS_PTR_IS_ERR(request)) {
        add({.kind = Kind::broken, .head = {.from = to}, .status = UCS_PTR_STATUS(request)});
    }
}

void Wire::on_small_sent(void* request, ucs_status_t, void* small) noexcept {
    auto* sent = static_cast<Small*>(small);
    sent->wire->free_.push_back(sent);
    ucp_request_free(request);
}

}  // namespace penstock::ucx
