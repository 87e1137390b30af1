#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "transports/transport.hpp"

namespace penstock::testing {

using Bytes = std::vector<std::byte>;

/// Keeps what a transport delivers.
struct Recorder final : TransportEvents {
    std::map<Rank, std::deque<Bytes>> frames;
    std::map<std::uint64_t, std::string> fetched;  ///< Error by token.
    std::map<Rank, std::string> lost;

    void on_frame(Rank from, std::span<const std::byte> frame) override {
        frames[from].emplace_back(frame.begin(), frame.end());
    }
    void on_fetched(std::uint64_t token, std::string_view error) override { fetched.emplace(token, error); }
    void on_lost(Rank peer, std::string_view reason) override { lost.emplace(peer, reason); }

    [[nodiscard]] std::size_t count(Rank from) const {
        const auto found = frames.find(from);
        return found == frames.end() ? 0 : found->second.size();
    }
    /// REQUIRES: count(from) != 0.
    [[nodiscard]] Bytes take(Rank from) {
        Bytes frame = std::move(frames[from].front());
        frames[from].pop_front();
        return frame;
    }
};

/// Polls, with flushes and waits between, until `done` or 20 s have gone by. @return whether it is done.
template <class Done>
[[nodiscard]] bool poll_until(Transport& transport, TransportEvents& events, Done&& done) {
    const auto deadline = SteadyClock::now() + std::chrono::seconds{20};
    while (!done()) {
        if (SteadyClock::now() > deadline) return false;
        if (transport.poll(events) != 0) continue;
        transport.flush();
        transport.wait(std::chrono::milliseconds{1});
    }
    return true;
}

}  // namespace penstock::testing
