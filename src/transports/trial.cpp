#include "transports/trial.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "base/clock.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

struct TrialEvents final : TransportEvents {
    bool ended = false;
    std::string error;
    void on_frame(Rank, std::span<const std::byte>) override {}  // nobody is connected yet
    void on_fetched(std::uint64_t, std::string_view what) override {
        ended = true;
        error = what;
    }
    void on_lost(Rank, std::string_view) override {}
};

}  // namespace

std::string try_fetch(Transport& transport, const BlobRef& blob, const Trial& trial) {
    const auto patience = std::min<std::chrono::milliseconds>(trial.timeout, 2s);  // all started just now
    const auto start = SteadyClock::now();
    TrialEvents events;
    std::vector<std::byte> into(blob.bytes);
    transport.fetch(blob, into, 0);
    while (!events.ended || !trial.is_idle()) {
        if (transport.poll(events) != 0) continue;
        if (SteadyClock::now() - start > (events.ended ? patience : trial.timeout)) break;
        transport.wait(10ms);
    }
    if (!events.ended) {
        trial.give_up();
        static_cast<void>(transport.poll(events));
    }
    return events.error;
}

std::uint64_t agree_on_a_number(Bootstrap& bootstrap) {
    std::random_device random;
    std::uint64_t number = std::uint64_t{random()} << 32U | random();
    const auto numbers = bootstrap.allgather({reinterpret_cast<const char*>(&number), sizeof number});
    if (numbers.front().size() == sizeof number) std::memcpy(&number, numbers.front().data(), sizeof number);
    return number;
}

}  // namespace penstock
