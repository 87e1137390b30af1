#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// A discrete-event simulation of dispatch over more workers than there are here. What consumers grant and what the
/// coordinator leases is decided by the classes that ship, GrantWindow and ChannelLeases; networks, processors and the
/// batches of the producers (OutChannel::ask) are modelled.
namespace penstock::bench {

/// Between nodes; a node has one port, in and out at once.
struct Network {
    std::string_view name;
    double latency_ns;    ///< One way, with what the software at both ends adds.
    double bytes_per_ns;  ///< Of a port.
};
inline constexpr Network c5n{.name = "c5n", .latency_ns = 17'500, .bytes_per_ns = 12.5};
inline constexpr Network p4d{.name = "p4d", .latency_ns = 17'500, .bytes_per_ns = 50};
inline constexpr Network shared_memory{.name = "shm", .latency_ns = 1'000, .bytes_per_ns = 10};

enum class Way : std::uint8_t {
    leased,    ///< Leases through rank 0, tickets and bytes not.
    proxy,     ///< Tickets through rank 0, bytes not.
    standard,  ///< Tickets and bytes through rank 0; "default".
};
[[nodiscard]] std::string_view name_of(Way way) noexcept;

/// What rank 0 spends, ns.
struct Rank0Costs {
    double frame_ns = 60;     ///< To take in or to send a frame of leases.
    double credit_ns = 5;     ///< To lease out one credit, besides:
    double choice_ns = 5;     ///< for each time the number of consumers that it chooses from doubles.
    double ticket_ns = 400;   ///< To pass on a ticket.
    double bytes_per_ns = 5;  ///< To copy a payload that passes.
};

/// Adds what ChannelLeases costs on this machine to the assumptions.
[[nodiscard]] Rank0Costs measured_costs();

struct Simulation {
    Way way = Way::leased;
    Network network = c5n;
    std::uint32_t workers = 10;
    std::uint32_t producers = 2;
    std::uint32_t workers_per_node = 32;  ///< That share a port. Rank 0 has one of its own.
    std::uint32_t producers_per_node = 8;
    std::uint64_t payload_bytes = 1'000'000;
    std::uint32_t capacity = 64;
    double task_ns = 1e7;   ///< In the mean.
    bool is_uneven = true;  ///< Times of tasks as between random arrivals; all the same if not.
    double make_ns = 500;   ///< Of a producer, for a payload.
    double seconds = 0;     ///< Simulated; 0: 30 tasks for each worker and 20 000 in all, at least 20 ms.
    Rank0Costs costs = {};
    std::uint64_t seed = 1;
};

struct Simulated {
    double tasks_per_s = 0;
    double ideal_tasks_per_s = 0;     ///< With workers that are never idle.
    double rank0_load = 0;            ///< Share of the time in which rank 0 is busy.
    double rank0_bytes_per_task = 0;  ///< Of payloads.
    double rank0_frames_per_task = 0;
    double idle = 0;                ///< Share of the workers' time.
    std::uint64_t most_queued = 0;  ///< Payloads at one worker, with the one it works at.
};

/// The same for the same arguments. @throws std::invalid_argument if there is no worker or no producer.
[[nodiscard]] Simulated simulate(const Simulation& what);

}  // namespace penstock::bench
