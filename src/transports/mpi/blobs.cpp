#include "transports/mpi/blobs.hpp"

#include <algorithm>
#include <string>

#include <penstock/error.hpp>

#include "transports/mpi/mpi_handles.hpp"

namespace penstock::mpi {
namespace {

constexpr int demand_tag = 2;
constexpr std::uint64_t first_blob_tag = 16;
constexpr std::size_t largest_message = 1U << 30U;  // MPI counts bytes in an int

[[nodiscard]] std::uint64_t last_tag_of(MPI_Comm comm) {
    void* value = nullptr;
    int found = 0;
    check(MPI_Comm_get_attr(comm, MPI_TAG_UB, &value, &found), "MPI_Comm_get_attr");
    return found != 0 ? static_cast<std::uint64_t>(*static_cast<int*>(value)) : 32767U;  // the least that MPI allows
}

[[nodiscard]] int message_bytes(std::size_t rest) noexcept {
    return static_cast<int>(std::min(rest, largest_message));
}

template <class Number>
[[nodiscard]] Number take(std::vector<Number>& free) noexcept {
    const Number number = free.back();
    free.pop_back();
    return number;
}

}  // namespace

Blobs::Blobs(MPI_Comm comm, const Arena& arena, Requests& requests, Losses& losses)
    : comm_{comm}, arena_{arena}, requests_{requests}, losses_{losses}, last_tag_{last_tag_of(comm)} {
    free_fetches_.reserve(Requests::usual);
    replies_.reserve(Requests::usual);
    free_replies_.reserve(Requests::usual);
    for (std::uint32_t lane = 0; lane < demand_lanes; ++lane) {
        MPI_Request request = MPI_REQUEST_NULL;
        check(MPI_Recv_init(&demands_[lane], sizeof(Demand), MPI_BYTE, MPI_ANY_SOURCE, demand_tag, comm_, &request),
              "MPI_Recv_init");
        demand_slots_[lane] =
            requests_.add_persistent(request, {.kind = Job::Kind::demand_in, .owner = 0, .lane = lane});
        requests_.start(demand_slots_[lane]);
    }
}

void Blobs::fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) {
    if (free_fetches_.empty()) {
        if (first_blob_tag + fetches_.size() > last_tag_) {
            throw Error{Errc::exhausted,
                        "more fetches at once than this MPI has tags (" + std::to_string(last_tag_) + ")"};
        }
        free_fetches_.push_back(static_cast<std::uint32_t>(fetches_.size()));
        fetches_.emplace_back();
        free_fetches_.reserve(fetches_.size());
    }
    const std::uint32_t number = take(free_fetches_);
    Fetch& fetch = fetches_[number];
    fetch = {.demand = {blob.offset, into.size(), first_blob_tag + number},
             .owner = static_cast<int>(blob.owner),
             .into = into,
             .received = 0,
             .token = token,
             .open_requests = 0};
    receive_next(number);

    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Isend(&fetch.demand, sizeof(Demand), MPI_BYTE, fetch.owner, demand_tag, comm_, &request), "MPI_Isend");
    requests_.add(request, {.kind = Job::Kind::demand_out, .owner = number});
    ++fetch.open_requests;
}

void Blobs::receive_next(std::uint32_t number) {
    Fetch& fetch = fetches_[number];
    const auto rest = fetch.into.subspan(fetch.received);
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Irecv(rest.data(), message_bytes(rest.size()), MPI_BYTE, fetch.owner, static_cast<int>(fetch.demand.tag),
                    comm_, &request),
          "MPI_Irecv");
    requests_.add(request, {.kind = Job::Kind::blob_in, .owner = number});
    ++fetch.open_requests;
}

std::size_t Blobs::on_completed(const Completed& completed, TransportEvents& events) {
    switch (completed.job.kind) {
        case Job::Kind::demand_in: return on_demand(completed, events);
        case Job::Kind::blob_in: return on_blob(completed, events);
        case Job::Kind::blob_out: on_sent(completed); return 0;
        default: end_request(completed.job.owner); return 0;
    }
}

void Blobs::on_sent(const Completed& completed) {
    const std::uint32_t number = completed.job.owner;
    // What a failed send leaves out its receiver misses, and reports.
    if (completed.error == MPI_SUCCESS && !replies_[number].rest.empty()) return send_next(number);
    free_replies_.push_back(number);
}

void Blobs::end_request(std::uint32_t number) {
    if (--fetches_[number].open_requests == 0) free_fetches_.push_back(number);
}

std::size_t Blobs::on_blob(const Completed& completed, TransportEvents& events) {
    const std::uint32_t number = completed.job.owner;
    Fetch& fetch = fetches_[number];
    const std::size_t rest = fetch.into.size() - fetch.received;
    const auto expected = static_cast<std::size_t>(message_bytes(rest));
    std::string problem;
    if (completed.error != MPI_SUCCESS) {
        problem = text_of(completed.error);
    } else if (completed.bytes != expected) {
        problem = completed.bytes == 0 ? "its owner refused it: it lies outside the owner's arena"
                                       : "its owner sent " + std::to_string(completed.bytes) + " bytes instead of " +
                                             std::to_string(expected);
    }
    fetch.received += expected;
    if (problem.empty() && expected != rest) {
        receive_next(number);
        end_request(number);
        return 0;
    }
    const std::uint64_t token = fetch.token;
    end_request(number);
    events.on_fetched(token, problem);
    return 1;
}

std::size_t Blobs::on_demand(const Completed& completed, TransportEvents& events) {
    const Demand demand = demands_[completed.job.lane];
    requests_.start(demand_slots_[completed.job.lane]);
    if (completed.error != MPI_SUCCESS || completed.bytes != sizeof(Demand) || demand.tag < first_blob_tag ||
        demand.tag > last_tag_) {
        return losses_.report(completed.source, "it asked for a blob in a way that is not ours", events);
    }
    reply(demand, completed.source);
    return 0;
}

bool Blobs::is_ours(const Demand& demand) const noexcept {
    const std::uint64_t limit = arena_.limit_bytes();
    return demand.offset <= limit && demand.bytes <= limit - demand.offset;
}

void Blobs::reply(const Demand& demand, Rank to) {
    if (free_replies_.empty()) {
        free_replies_.push_back(static_cast<std::uint32_t>(replies_.size()));
        replies_.emplace_back();
        free_replies_.reserve(replies_.capacity());
    }
    const std::uint32_t number = take(free_replies_);
    std::span<const std::byte> blob;
    if (is_ours(demand)) blob = {arena_.at(demand.offset), demand.bytes};
    replies_[number] = {.to = static_cast<int>(to), .tag = static_cast<int>(demand.tag), .rest = blob};
    send_next(number);
}

void Blobs::send_next(std::uint32_t number) {
    Reply& reply = replies_[number];
    const int bytes = message_bytes(reply.rest.size());
    MPI_Request request = MPI_REQUEST_NULL;
    check(MPI_Isend(reply.rest.data(), bytes, MPI_BYTE, reply.to, reply.tag, comm_, &request), "MPI_Isend");
    requests_.add(request, {.kind = Job::Kind::blob_out, .owner = number});
    reply.rest = reply.rest.subspan(static_cast<std::size_t>(bytes));
}

}  // namespace penstock::mpi
