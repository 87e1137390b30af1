#include "limits/limits.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <functional>
#include <new>
#include <stdexcept>
#include <vector>

#include <sched.h>
#include <unistd.h>

#include "limits/measure.hpp"
#include "limits/process.hpp"

namespace penstock::bench {
namespace {

using std::chrono::milliseconds;

constexpr std::uint64_t not_yet = ~std::uint64_t{0};
constexpr std::size_t most_samples = 1U << 20U;
constexpr std::int64_t grace_ns = 10'000'000'000;
constexpr std::size_t cache_line_pair = 128;

/// Per consumer, on lines of its own.
struct alignas(cache_line_pair) Tally {
    std::atomic<std::uint64_t> received{0};
};

/// What the processes of one measurement tell each other.
struct Board {
    std::atomic<int> ready{0};
    std::atomic<bool> has_failed{false};
    std::atomic<std::uint64_t> total{not_yet};  ///< Messages sent; known once the producer has stopped.
    std::array<Tally, 2> tallies;
    double result = 0;
    std::uint64_t samples = 0;
};

struct alignas(64) Ticket {
    std::uint64_t sequence;
    std::uint64_t offset;
    std::uint64_t size_bytes;
    std::array<std::uint64_t, 5> rest;
};

struct Indices {
    alignas(cache_line_pair) std::atomic<std::uint64_t> head{0};  ///< Written by the producer.
    alignas(cache_line_pair) std::atomic<std::uint64_t> tail{0};  ///< Written by the consumer: its credit.
};

/// Indices, tickets and blobs of one ring inside shared memory.
struct Ring {
    Indices* indices = nullptr;
    Ticket* tickets = nullptr;
    std::byte* blobs = nullptr;
    std::uint64_t slots = 0;
    std::size_t stride = 0;

    [[nodiscard]] std::span<std::byte> blob(std::uint64_t index, std::size_t size_bytes) const noexcept {
        return {blobs + (index & (slots - 1)) * stride, size_bytes};
    }
};

class Producer {
public:
    explicit Producer(const Ring& ring) : ring_{ring} {}

    [[nodiscard]] bool has_room() noexcept {
        if (head_ - cached_tail_ < ring_.slots) return true;
        cached_tail_ = ring_.indices->tail.load(std::memory_order_acquire);
        return head_ - cached_tail_ < ring_.slots;
    }
    [[nodiscard]] std::span<std::byte> blob(std::size_t size_bytes) const noexcept {
        return ring_.blob(head_, size_bytes);
    }
    void publish(std::uint64_t sequence, std::size_t size_bytes) noexcept {
        const std::uint64_t slot = head_ & (ring_.slots - 1);
        ring_.tickets[slot] = {sequence, slot * ring_.stride, size_bytes, {}};
        ring_.indices->head.store(++head_, std::memory_order_release);
    }

private:
    Ring ring_;
    std::uint64_t head_ = 0;
    std::uint64_t cached_tail_ = 0;
};

class Consumer {
public:
    explicit Consumer(const Ring& ring) : ring_{ring} {}

    [[nodiscard]] bool has_ticket() noexcept {
        if (tail_ < cached_head_) return true;
        cached_head_ = ring_.indices->head.load(std::memory_order_acquire);
        return tail_ < cached_head_;
    }
    [[nodiscard]] const Ticket& ticket() const noexcept { return ring_.tickets[tail_ & (ring_.slots - 1)]; }
    [[nodiscard]] std::span<const std::byte> blob() const noexcept {
        return {ring_.blobs + ticket().offset, ticket().size_bytes};
    }
    void release() noexcept { ring_.indices->tail.store(++tail_, std::memory_order_release); }

private:
    Ring ring_;
    std::uint64_t tail_ = 0;
    std::uint64_t cached_head_ = 0;
};

/// Spins until something holds, for a bounded time. Gives the CPU away when there are fewer of them than spinners.
class Spinner {
public:
    Spinner(const Board& board, int processes, milliseconds duration)
        : board_{board},
          spins_{static_cast<int>(allowed_cpus().size()) < processes ? 64 : 1 << 15},
          deadline_ns_{now_ns() + std::chrono::nanoseconds{duration}.count() + grace_ns} {}

    template <class Condition>
    void until(Condition&& holds) const {
        while (true) {
            for (int spin = 0; spin < spins_; ++spin) {
                if (holds()) return;
                pause();
            }
            if (board_.has_failed.load(std::memory_order_relaxed))
                throw std::runtime_error{"limit: the other side failed"};
            if (now_ns() > deadline_ns_) throw std::runtime_error{"limit: nothing moves any more"};
            sched_yield();
        }
    }

private:
    const Board& board_;
    int spins_;
    std::int64_t deadline_ns_;
};

/// A shared region cut into aligned pieces, front to back.
class Region {
public:
    explicit Region(std::size_t size_bytes) : memory_{size_bytes + room_for_headers} { board_ = make<Board>(1); }

    template <class T>
    [[nodiscard]] T* make(std::size_t count) {
        used_ = (used_ + page - 1) / page * page;
        auto* first = reinterpret_cast<T*>(memory_.bytes().subspan(used_, count * sizeof(T)).data());
        for (std::size_t i = 0; i < count; ++i) new (first + i) T;
        used_ += count * sizeof(T);
        return first;
    }
    [[nodiscard]] Ring make_ring(std::size_t slots, std::size_t stride) {
        Ring ring{.slots = slots, .stride = stride};
        ring.indices = make<Indices>(1);
        ring.tickets = make<Ticket>(slots);
        ring.blobs = make<std::byte>(slots * stride);
        return ring;
    }
    [[nodiscard]] Board& board() const noexcept { return *board_; }
    void touch() const noexcept { memory_.touch(); }

private:
    static constexpr std::size_t page = 4096;
    static constexpr std::size_t room_for_headers = 64 * page;

    SharedMemory memory_;
    std::size_t used_ = 0;
    Board* board_ = nullptr;
};

[[nodiscard]] std::size_t ring_bytes(std::size_t slots, std::size_t stride) {
    return slots * (sizeof(Ticket) + stride);
}

/// Blobs are aligned to cache lines; nothing is reserved for blobs that nobody touches.
[[nodiscard]] std::size_t stride_of(const RingRun& run) {
    return run.touch == Touch::none ? 0 : (run.size_bytes + 63) / 64 * 64;
}

struct Role {
    std::optional<int> cpu;
    std::function<void()> body;
};

/// Runs the roles in processes of their own, starts them together, and waits for all of them.
void run_roles(const Region& region, const std::vector<Role>& roles, milliseconds duration) {
    Board& board = region.board();
    const int count = static_cast<int>(roles.size());
    std::vector<Child> children;
    children.reserve(roles.size());
    for (const Role& role : roles) {
        children.emplace_back([&] {
            try {
                if (role.cpu) pin_to(*role.cpu);
                region.touch();
                const Spinner spinner{board, count, duration};
                board.ready.fetch_add(1);
                spinner.until([&] { return board.ready.load() == count; });
                role.body();
            } catch (...) {
                board.has_failed.store(true);
                throw;
            }
        });
    }
    const std::int64_t deadline_ns = now_ns() + std::chrono::nanoseconds{duration}.count() + grace_ns;
    for (Child& child : children) {
        while (child.is_running() && now_ns() < deadline_ns) {
            const timespec nap{.tv_sec = 0, .tv_nsec = 5'000'000};
            nanosleep(&nap, nullptr);
        }
        if (!child.has_succeeded()) throw std::runtime_error{"a limit could not be measured"};
    }
}

void check(const RingRun& run) {
    if (run.size_bytes < 8 || !std::has_single_bit(run.slots)) {
        throw std::runtime_error{"a ring needs 8 bytes and a power of two of slots"};
    }
    if (run.consumers < 1 || run.consumers > 2) throw std::runtime_error{"a ring run has one or two consumers"};
}

/// How often the clock is read: it costs as much as a small message.
[[nodiscard]] std::uint64_t clock_mask(std::size_t size_bytes) {
    return size_bytes < (16U << 10U) ? 63 : 0;
}

void produce(const RingRun& run, const std::vector<Ring>& rings, Board& board) {
    std::vector<Producer> lanes(rings.begin(), rings.end());
    if (run.touch == Touch::sum_only) {
        for (const Ring& ring : rings) {
            for (std::uint64_t slot = 0; slot < ring.slots; ++slot) fill(ring.blob(slot, run.size_bytes), slot);
        }
    }
    const Spinner spinner{board, run.consumers + 1, run.duration};
    const std::int64_t duration_ns = std::chrono::nanoseconds{run.duration}.count();
    const std::int64_t warm_ns = now_ns() + duration_ns / 10;
    const std::uint64_t mask = clock_mask(run.size_bytes);
    std::int64_t start_ns = 0;
    std::uint64_t start = 0;
    std::uint64_t sequence = 0;
    std::size_t lane = 0;
    while (true) {
        if ((sequence & mask) == 0) {
            const std::int64_t now = now_ns();
            if (start_ns == 0 && now >= warm_ns) {
                start_ns = now;
                start = sequence;
            } else if (start_ns != 0 && now >= start_ns + duration_ns) {
                board.result = static_cast<double>(sequence - start) / static_cast<double>(now - start_ns) * 1e9;
                break;
            }
        }
        if (lanes.size() == 1) {
            if (!lanes[0].has_room()) spinner.until([&] { return lanes[0].has_room(); });
        } else {
            lane = 1 - lane;
            if (!lanes[lane].has_room()) {
                spinner.until([&] { return lanes[0].has_room() || lanes[1].has_room(); });
                if (!lanes[lane].has_room()) lane = 1 - lane;
            }
        }
        if (run.touch == Touch::fill_and_sum) fill(lanes[lane].blob(run.size_bytes), sequence);
        lanes[lane].publish(sequence++, run.size_bytes);
    }
    board.total.store(sequence, std::memory_order_release);
}

void consume(const RingRun& run, const Ring& ring, std::size_t me, Board& board) {
    Consumer consumer{ring};
    const Spinner spinner{board, run.consumers + 1, run.duration};
    std::atomic<std::uint64_t>& received = board.tallies.at(me).received;
    std::uint64_t count = 0;
    std::uint64_t next = 0;
    const auto is_over = [&] {
        const std::uint64_t total = board.total.load(std::memory_order_acquire);
        if (total == not_yet || consumer.has_ticket()) return false;
        received.store(count, std::memory_order_release);
        return board.tallies[0].received.load() + board.tallies[1].received.load() == total;
    };
    while (true) {
        if (!consumer.has_ticket()) {
            bool over = false;
            spinner.until([&] { return consumer.has_ticket() || (over = is_over()); });
            if (over) return;
        }
        const Ticket& ticket = consumer.ticket();
        const bool is_next = run.consumers == 1 ? ticket.sequence == next : ticket.sequence >= next;
        if (!is_next || ticket.size_bytes != run.size_bytes)
            throw std::runtime_error{"limit: a ticket is out of order"};
        if (run.touch == Touch::fill_and_sum) check_filled(consumer.blob(), ticket.sequence);
        if (run.touch == Touch::sum_only) check_filled(consumer.blob(), count & (ring.slots - 1));
        next = ticket.sequence + 1;
        ++count;
        consumer.release();
    }
}

/// Sends one blob out and waits for the one that comes back, over and over.
void ping(const RingRun& run, const std::array<Ring, 2>& rings, std::span<float> samples, Board& board) {
    Producer out{rings[0]};
    Consumer in{rings[1]};
    const Spinner spinner{board, 2, run.duration};
    const std::int64_t duration_ns = std::chrono::nanoseconds{run.duration}.count();
    const std::int64_t begin_ns = now_ns();
    const std::int64_t warm_ns = begin_ns + duration_ns / 10;
    std::int64_t last_ns = begin_ns;
    std::uint64_t sequence = 0;
    std::size_t count = 0;
    while (last_ns < begin_ns + duration_ns && count < samples.size()) {
        if (run.touch == Touch::fill_and_sum) fill(out.blob(run.size_bytes), sequence);
        out.publish(sequence, run.size_bytes);
        spinner.until([&] { return in.has_ticket(); });
        if (in.ticket().sequence != sequence) throw std::runtime_error{"limit: the wrong ticket came back"};
        if (run.touch == Touch::fill_and_sum) check_filled(in.blob(), sequence);
        in.release();
        ++sequence;
        const std::int64_t now = now_ns();
        if (last_ns >= warm_ns) samples[count++] = static_cast<float>(now - last_ns);
        last_ns = now;
    }
    board.samples = count;
    board.total.store(sequence, std::memory_order_release);
}

void pong(const RingRun& run, const std::array<Ring, 2>& rings, Board& board) {
    Consumer in{rings[0]};
    Producer out{rings[1]};
    const Spinner spinner{board, 2, run.duration};
    for (std::uint64_t sequence = 0;; ++sequence) {
        spinner.until([&] { return in.has_ticket() || board.total.load(std::memory_order_acquire) == sequence; });
        if (!in.has_ticket()) return;
        if (run.touch == Touch::fill_and_sum) check_filled(in.blob(), sequence);
        in.release();
        if (run.touch == Touch::fill_and_sum) fill(out.blob(run.size_bytes), sequence);
        out.publish(sequence, run.size_bytes);
    }
}

/// Bytes that together are far larger than the last-level cache.
[[nodiscard]] std::size_t cold_bytes() {
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    constexpr std::size_t least = std::size_t{256} << 20U;
    constexpr std::size_t most = std::size_t{1} << 30U;
    return std::clamp(cache > 0 ? 4 * static_cast<std::size_t>(cache) : least, least, most);
}

/// Runs `body` on one blob after the other; `blobs` says how many there are of `size_bytes`.
template <class Body>
[[nodiscard]] double memory_rate(const MemoryRun& run, const Body& body) {
    if (run.size_bytes == 0) throw std::runtime_error{"a memory run needs a size"};
    const std::size_t blobs = run.is_cold ? std::max<std::size_t>(4, cold_bytes() / run.size_bytes) : 2;
    Region region{blobs * run.size_bytes};
    auto* memory = region.make<std::byte>(blobs * run.size_bytes);
    const auto blob = [&](std::uint64_t index) {
        return std::span<std::byte>{memory + index % blobs * run.size_bytes, run.size_bytes};
    };
    const auto work = [&] {
        for (std::uint64_t i = 0; i < blobs; ++i) fill(blob(i), i);
        const std::int64_t duration_ns = std::chrono::nanoseconds{run.duration}.count();
        const std::int64_t start_ns = now_ns();
        std::uint64_t count = 0;
        std::int64_t passed_ns = 0;
        for (; passed_ns < duration_ns; passed_ns = now_ns() - start_ns) {
            // Enough work between two looks at the clock that the clock does not count.
            for (std::size_t bytes = 0; bytes < (64U << 10U); bytes += run.size_bytes, ++count) {
                body(blob(count), blob(count + blobs / 2), count % blobs);
            }
        }
        region.board().result = static_cast<double>(count * run.size_bytes) / static_cast<double>(passed_ns);
    };
    run_roles(region, {{run.cpu, work}}, run.duration);
    return region.board().result;
}

/// The best of a few numbers of slots, which share the duration.
[[nodiscard]] Rate best_rate(RingRun run) {
    check(run);
    std::vector<std::size_t> candidates{2, 4, std::bit_floor(std::max<std::size_t>(2, (4U << 20U) / run.size_bytes)),
                                        window(run.size_bytes)};
    std::sort(candidates.begin(), candidates.end());
    candidates.erase(std::unique(candidates.begin(), candidates.end()), candidates.end());
    run.duration /= static_cast<int>(candidates.size());
    Rate best;
    for (const std::size_t slots : candidates) {
        run.slots = slots;
        const Rate rate = ring_rate(run);
        if (rate.messages_per_s > best.messages_per_s) best = rate;
    }
    return best;
}

}  // namespace

Placement spread_cpus() {
    const std::vector<int> cpus = allowed_cpus();
    if (cpus.empty()) return {};
    const auto at = [&](std::size_t index) { return cpus[std::min(index, cpus.size() - 1)]; };
    return {.producer = at(0), .consumer = at(1), .second_consumer = at(2)};
}

Rate ring_rate(const RingRun& run) {
    check(run);
    const std::size_t stride = stride_of(run);
    const auto consumers = static_cast<std::size_t>(run.consumers);
    Region region{consumers * ring_bytes(run.slots, stride)};
    std::vector<Ring> rings;
    for (std::size_t i = 0; i < consumers; ++i) rings.push_back(region.make_ring(run.slots, stride));
    Board& board = region.board();

    std::vector<Role> roles;
    roles.push_back({run.cpus.producer, [&] { produce(run, rings, board); }});
    for (std::size_t i = 0; i < consumers; ++i) {
        const auto cpu = i == 0 ? run.cpus.consumer : run.cpus.second_consumer;
        roles.push_back({cpu, [&, i] { consume(run, rings[i], i, board); }});
    }
    run_roles(region, roles, run.duration);
    return {board.result, board.result * static_cast<double>(run.size_bytes) / 1e9};
}

double ticket_rate(milliseconds duration, const Placement& cpus) {
    return ring_rate({.duration = duration, .cpus = cpus}).messages_per_s;
}

double touched_rate(std::size_t size_bytes, milliseconds duration, const Placement& cpus, std::size_t slots) {
    const RingRun run{
        .size_bytes = size_bytes, .slots = slots, .touch = Touch::fill_and_sum, .duration = duration, .cpus = cpus};
    return ring_rate(run).gigabytes_per_s;
}

double best_touched_rate(std::size_t size_bytes, milliseconds duration, const Placement& cpus) {
    return best_rate({.size_bytes = size_bytes, .touch = Touch::fill_and_sum, .duration = duration, .cpus = cpus})
        .gigabytes_per_s;
}

double shared_rate(std::size_t size_bytes, milliseconds duration, const Placement& cpus) {
    return best_rate({.size_bytes = size_bytes,
                      .touch = Touch::fill_and_sum,
                      .consumers = 2,
                      .duration = duration,
                      .cpus = cpus})
        .messages_per_s;
}

Latency ring_latency(const RingRun& run) {
    check(run);
    constexpr std::size_t slots = 4;
    const std::size_t stride = stride_of(run);
    Region region{2 * ring_bytes(slots, stride) + most_samples * sizeof(float)};
    const std::array rings{region.make_ring(slots, stride), region.make_ring(slots, stride)};
    const std::span<float> samples{region.make<float>(most_samples), most_samples};
    Board& board = region.board();

    run_roles(region,
              {{run.cpus.producer, [&] { ping(run, rings, samples, board); }},
               {run.cpus.consumer, [&] { pong(run, rings, board); }}},
              run.duration);
    const auto measured = samples.first(board.samples);
    const std::vector<double> round_trips_ns(measured.begin(), measured.end());
    return {percentile(round_trips_ns, 50) / 2e3, percentile(round_trips_ns, 99) / 2e3};
}

double memcpy_rate(const MemoryRun& run) {
    return memory_rate(run, [](std::span<std::byte> from, std::span<std::byte> to, std::uint64_t) {
        std::memcpy(to.data(), from.data(), from.size());
        asm volatile("" : : "r"(to.data()) : "memory");
    });
}

double fill_rate(const MemoryRun& run) {
    return memory_rate(run, [](std::span<std::byte> blob, std::span<std::byte>, std::uint64_t index) {
        fill(blob, index);
        asm volatile("" : : "r"(blob.data()) : "memory");
    });
}

double read_rate(const MemoryRun& run) {
    return memory_rate(
        run, [](std::span<std::byte> blob, std::span<std::byte>, std::uint64_t index) { check_filled(blob, index); });
}

}  // namespace penstock::bench
