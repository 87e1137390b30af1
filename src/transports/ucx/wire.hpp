#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include <ucp/api/ucp.h>

#include "transports/transport.hpp"

namespace penstock::ucx {

/// The active messages of a run, by id.
enum class Kind : std::uint8_t {
    frames = 1,    ///< Frames one after the other, as `FrameBuffer` has them.
    note = 2,      ///< No more than what every header says: how far the sender has read.
    demand = 3,    ///< Asks for a blob, to be sent under a tag.
    goodbye = 4,   ///< The sender leaves; a connection that breaks afterwards is no failure.
    broken = 255,  ///< Never sent: the connection to `from` has failed.
};

/// The header of every message. In the byte order of the hosts, which share it.
struct Head {
    std::uint64_t run = 0;  ///< The same random number in all processes of a run; others are not listened to.
    Rank from = 0;
    std::uint32_t sequence = 0;      ///< Of a message with frames: its number.
    std::uint32_t acknowledged = 0;  ///< How many messages with frames the sender has read from the receiver.
    std::uint32_t reserved = 0;
    // Of a demand:
    std::uint64_t tag = 0;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
};
static_assert(sizeof(Head) == 48);

/// Something that came in. UCX's callbacks only note it; it is dealt with when UCX is not on the stack.
struct Event {
    Kind kind;
    Head head;
    void* data = nullptr;  ///< Of frames: UCX's, to be given back. Null if the message was none of ours.
    std::size_t bytes = 0;
    ucs_status_t status = UCS_OK;  ///< Of a broken connection.
};

/// What all peers of one worker share.
class Wire {
public:
    /// REQUIRES: the worker is destroyed before this goes away.
    Wire(ucp_worker_h worker, std::uint64_t run, Rank self, Rank ranks);
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;

    [[nodiscard]] ucp_worker_h worker() const noexcept { return worker_; }
    [[nodiscard]] const Thresholds& thresholds() const noexcept { return thresholds_; }
    void use(const Thresholds& thresholds) noexcept { thresholds_ = thresholds; }
    [[nodiscard]] Head head() const noexcept { return {.run = run_, .from = self_}; }

    /// Makes UCX move. Never calls anybody else.
    void progress() noexcept;
    /// What came in and was not taken yet, in order; grows while it is gone through.
    [[nodiscard]] bool take(Event& event) noexcept;
    [[nodiscard]] bool has_events() const noexcept { return next_ != events_.size(); }
    void add(const Event& event) { events_.push_back(event); }
    /// Gives the data of a message back to UCX.
    void release(void* data) noexcept { ucp_am_data_release(worker_, data); }

    /// Sends a message that is its header alone.
    void send(ucp_ep_h endpoint, Kind kind, const Head& head, Rank to);
    /// Of those, how many UCX has not sent yet.
    [[nodiscard]] std::size_t on_way() const noexcept { return small_.size() - free_.size(); }

private:
    /// A header that UCX reads until it is sent.
    struct Small {
        Wire* wire = nullptr;
        Head head;
    };

    template <Kind kind>
    static ucs_status_t on_message(void* wire, const void* header, std::size_t header_bytes, void* data,
                                   std::size_t bytes, const ucp_am_recv_param_t* param) noexcept;
    template <Kind kind>
    void listen();
    static void on_small_sent(void* request, ucs_status_t status, void* small) noexcept;

    ucp_worker_h worker_;
    std::uint64_t run_;
    Rank self_;
    Rank ranks_;
    Thresholds thresholds_;
    std::vector<Event> events_;
    std::size_t next_ = 0;
    std::deque<Small> small_;  // a deque: UCX keeps addresses into it
    std::vector<Small*> free_;
};

}  // namespace penstock::ucx
