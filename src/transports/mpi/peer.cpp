#include "transports/mpi/peer.hpp"

#include <algorithm>
#include <iterator>
#include <string>

#include "transports/mpi/mpi_handles.hpp"

namespace penstock::mpi {
namespace {

constexpr int frames_tag = 1;

}  // namespace

std::span<std::byte> Outbox::reserve(std::size_t bytes) {
    auto room = buffers_[open_].reserve(bytes);
    if (!room.empty()) return room;
    if (may_send()) {
        send();
        return buffers_[open_].reserve(bytes);
    }
    flush_wanted_ = true;
    refused_ = true;
    return {};
}

void Outbox::commit() {
    buffers_[open_].commit();
    // Now, for the receiver to work on it while the next one fills.
    if (buffers_[open_].bytes().size() >= thresholds_.coalesced_bytes && may_send()) send();
}

void Outbox::flush() {
    if (may_send()) {
        send();
    } else {
        flush_wanted_ = !buffers_[open_].empty();
    }
}

void Outbox::send() {
    const auto message = buffers_[open_].bytes();
    MPI_Request request = MPI_REQUEST_NULL;
    const bool is_answered = sent_ % between_answers == 0;
    check((is_answered ? MPI_Issend : MPI_Isend)(message.data(), static_cast<int>(message.size()), MPI_BYTE,
                                                 static_cast<int>(peer_), frames_tag, comm_, &request),
          is_answered ? "MPI_Issend" : "MPI_Isend");
    sequence_[open_] = sent_++;
    requests_.add(request, {.kind = Job::Kind::frames_out, .owner = peer_, .lane = static_cast<std::uint32_t>(open_)});
    busy_[open_] = true;
    ++on_way_;
    flush_wanted_ = false;
    open_ = static_cast<std::size_t>(std::distance(busy_.begin(), std::find(busy_.begin(), busy_.end(), false)));
}

bool Outbox::on_sent(const Completed& completed) {
    buffers_[completed.job.lane].clear();
    const std::uint64_t sequence = sequence_[completed.job.lane];
    if (sequence % between_answers == 0) matched_ = std::max(matched_, sequence + 1);
    busy_[completed.job.lane] = false;
    --on_way_;
    if (flush_wanted_ && may_send()) send();
    return std::exchange(refused_, false);
}

Inbox::Inbox(MPI_Comm comm, Rank peer, Requests& requests, Losses& losses)
    : peer_{peer}, requests_{requests}, losses_{losses} {
    for (std::uint32_t i = 0; i < lanes; ++i) {
        Lane& lane = receives_[i];
        MPI_Request request = MPI_REQUEST_NULL;
        check(MPI_Recv_init(lane.memory.get(), static_cast<int>(buffer_bytes), MPI_BYTE, static_cast<int>(peer),
                            frames_tag, comm, &request),
              "MPI_Recv_init");
        lane.slot = requests_.add_persistent(request, {.kind = Job::Kind::frames_in, .owner = peer, .lane = i});
        requests_.start(lane.slot);
    }
}

std::size_t Inbox::on_arrived(const Completed& completed, TransportEvents& events) {
    if (completed.error != MPI_SUCCESS) return losses_.report(peer_, text_of(completed.error), events);
    receives_[completed.job.lane].bytes = completed.bytes;
    receives_[completed.job.lane].arrived = true;
    std::size_t count = 0;
    // A short message may overtake a long one on its way into its buffer; the buffers' order is the order of sending.
    while (receives_[next_].arrived && !losses_.is_lost(peer_)) {
        Lane& lane = receives_[next_];
        next_ = (next_ + 1) % lanes;
        lane.arrived = false;
        count += deliver(lane, events);
    }
    return count;
}

std::size_t Inbox::deliver(Lane& lane, TransportEvents& events) {
    std::size_t count = 0;
    bool whole = false;
    try {
        whole = decode_frames({lane.memory.get(), lane.bytes}, [&](std::span<const std::byte> frame) {
            ++count;
            events.on_frame(peer_, frame);
        });
    } catch (...) {
        requests_.start(lane.slot);
        throw;
    }
    if (!whole) return count + losses_.report(peer_, "it sent frames of impossible length", events);
    requests_.start(lane.slot);
    return count;
}

}  // namespace penstock::mpi
