#include "transports/trial.hpp"

#include <algorithm>
#include <cstring>
#include <random>

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

std::string try_fetch(Transport& transport, std::optional<Rank> owner, std::size_t bytes, const Trial& trial) {
    const auto patience = std::min<std::chrono::milliseconds>(trial.timeout, 2s);  // all started just now
    const auto start = SteadyClock::now();
    TrialEvents events;
    std::vector<std::byte> into(bytes);
    events.ended = !owner;
    if (owner) transport.fetch({.owner = *owner, .offset = 0, .bytes = bytes}, into, 0);
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

Introductions introduce(Bootstrap& bootstrap, const std::string& mine) {
    std::random_device random;
    const std::uint64_t number = std::uint64_t{random()} << 32U | random();
    std::string message{reinterpret_cast<const char*>(&number), sizeof number};
    Introductions all{.texts = bootstrap.allgather(message += mine), .run = number};
    if (all.texts.front().size() >= sizeof number) std::memcpy(&all.run, all.texts.front().data(), sizeof number);
    for (std::string& text : all.texts) text.erase(0, sizeof number);
    return all;
}

}  // namespace penstock
