#include <algorithm>
#include <stdexcept>

#include <sched.h>

#include "peers/redis_server.hpp"

using namespace penstock::bench;

namespace {

constexpr int poll_ms = 10;
constexpr double wait_s = 15;

[[nodiscard]] std::string channel(Lane lane) {
    return "lane" + std::to_string(index(lane));
}

/// Publishes in batches. Redis has no back-pressure of its own, so the sender holds at most a window of messages that
/// the receiver has not counted yet; it reads the count from shared memory, which costs Redis nothing.
class RedisSender final : public Sender {
public:
    RedisSender(const Context& context, Lane lane)
        : context_{context},
          redis_{context},
          channel_{channel(lane)},
          received_{context.control.tallies.at(lane == Lane::second ? 1 : 0).received},
          window_{context.options.is_round_trip() ? Control::not_yet : slots(context.options)},
          blob_(context.options.size_bytes) {}

    std::span<std::byte> loan() override {
        if (sent_ - cached_received_ >= window_) await_credit();
        return blob_;
    }

    void send() override {
        redis_.append({"PUBLISH", channel_, text(blob_)});
        ++sent_;
        ++unanswered_;
        if (redis_.pending_bytes() >= batch_bytes) flush();
    }

    void flush() override {
        if (unanswered_ == 0) return;
        redis_.flush();
        while (unanswered_ > most_unanswered || (unanswered_ > 0 && redis_.poll_reply(0))) {
            if (unanswered_ > most_unanswered) static_cast<void>(redis_.reply());
            --unanswered_;
        }
    }

private:
    static constexpr std::size_t batch_bytes = 16U << 10U;
    static constexpr std::size_t most_unanswered = 256;

    void await_credit() {
        flush();
        const Deadline deadline{context_, wait_s};
        while (true) {
            cached_received_ = received_.load(std::memory_order_acquire);
            if (sent_ - cached_received_ < window_) return;
            deadline.check("waiting for the subscriber");
            sched_yield();
        }
    }

    const Context& context_;
    Redis redis_;
    std::string channel_;
    const std::atomic<std::uint64_t>& received_;
    std::uint64_t window_;
    std::vector<std::byte> blob_;
    std::uint64_t sent_ = 0;
    std::uint64_t cached_received_ = 0;
    std::size_t unanswered_ = 0;
};

class RedisReceiver final : public Receiver {
public:
    RedisReceiver(const Context& context, Lane lane) : redis_{context} {
        redis_.append({"SUBSCRIBE", channel(lane)});
        static_cast<void>(redis_.reply());
    }

    std::span<const std::byte> receive() override {
        reply_ = redis_.poll_reply(poll_ms);
        if (!reply_) return {};
        if (reply_->type != REDIS_REPLY_ARRAY || reply_->elements != 3)
            throw std::runtime_error{"redis: unexpected reply"};
        return bytes(reply_->element[2]);
    }

    void release() override { reply_.reset(); }

private:
    Redis redis_;
    Reply reply_;
};

class RedisPubSub final : public Peer {
public:
    [[nodiscard]] std::string name() const override { return "redis"; }

    std::vector<Server> start_servers(const Context& context) override {
        std::vector<Server> servers;
        servers.push_back(start_redis(context));
        return servers;
    }
    std::unique_ptr<Sender> make_sender(const Context& context, Lane lane) override {
        return std::make_unique<RedisSender>(context, lane);
    }
    std::unique_ptr<Receiver> make_receiver(const Context& context, Lane lane) override {
        return std::make_unique<RedisReceiver>(context, lane);
    }
};

}  // namespace

int main(int argc, char** argv) {
    RedisPubSub peer;
    return run_peer(argc, argv, peer);
}
