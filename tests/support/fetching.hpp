#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "base/fifo.hpp"
#include "support/in_process_world.hpp"
#include "transports/transport.hpp"

namespace penstock::test {

/// A transport of one machine that does as if its ranks were on several: nothing can be mapped, and blobs come at a
/// later poll.
class Fetching final : public Transport {
public:
    /// Changes a blob on its way.
    using Spoil = std::function<void(std::span<std::byte> blob)>;

    explicit Fetching(std::unique_ptr<Transport> inner, Spoil spoil = {})
        : inner_{std::move(inner)}, capabilities_{inner_->capabilities()}, spoil_{std::move(spoil)} {
        capabilities_.maps = false;
    }

    [[nodiscard]] std::string_view name() const noexcept override { return "fetching"; }
    [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
    void connect(Rank peer) override { inner_->connect(peer); }
    [[nodiscard]] std::span<std::byte> reserve(Rank peer, std::size_t bytes) override {
        return inner_->reserve(peer, bytes);
    }
    void commit(Rank peer) override { inner_->commit(peer); }
    void flush() override { inner_->flush(); }
    [[nodiscard]] bool drained() const override { return inner_->drained(); }
    std::size_t poll(TransportEvents& events) override {
        std::size_t delivered = inner_->poll(events);
        for (std::size_t left = fetched_.size(); left > 0; --left) {
            events.on_fetched(fetched_.pop(), "");
            ++delivered;
        }
        return delivered;
    }
    void wait(std::chrono::nanoseconds timeout) override { inner_->wait(timeout); }
    void wake() noexcept override { inner_->wake(); }
    [[nodiscard]] int arm(std::chrono::nanoseconds& timeout) override { return inner_->arm(timeout); }
    void disarm() override { inner_->disarm(); }
    [[nodiscard]] const std::byte* map(const BlobRef&) override { return nullptr; }
    void fetch(const BlobRef& blob, std::span<std::byte> into, std::uint64_t token) override {
        std::memcpy(into.data(), inner_->map(blob), into.size());
        if (spoil_) spoil_(into);
        fetched_.push(token);
    }

private:
    std::unique_ptr<Transport> inner_;
    Capabilities capabilities_;
    Spoil spoil_;
    Fifo<std::uint64_t> fetched_{64};
};

/// For the transports of a world.
[[nodiscard]] inline World::Wrap far_apart(Fetching::Spoil spoil = {}) {
    return
        [spoil](Rank, std::unique_ptr<Transport> inner) { return std::make_unique<Fetching>(std::move(inner), spoil); };
}

/// What has been fetched at an endpoint is for that end of a channel, or broker.
template <class Receiving>
void give_fetched_to(Endpoint& at, Receiving& receiving) {
    at.reactor.set_fetched([&receiving](std::uint64_t token) {
        receiving.on_fetched(*reinterpret_cast<PayloadBody*>(static_cast<std::uintptr_t>(token)));
    });
}

/// A world of one channel whose ranks may be far apart.
struct FetchingWorld : ChannelWorld {
    explicit FetchingWorld(const ChannelShape& channel, World::Wrap wrap = far_apart())
        : ChannelWorld{channel, std::move(wrap)} {
        if (broker) give_fetched_to(world[0], *broker);
        for (std::uint32_t i = 0; i < shape.receivers; ++i) {
            give_fetched_to(world[shape.first_receiver + i], receivers[i].in);
        }
    }
};

}  // namespace penstock::test
