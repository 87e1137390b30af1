#include <cstring>
#include <stdexcept>

#include "peers/redis_server.hpp"
#include "peers/zeromq_lanes.hpp"

using namespace penstock::bench;

namespace {

/// The blob goes into Redis under its id, then the id goes over ZeroMQ.
class XstreamSender final : public Sender {
public:
    XstreamSender(const Context& context, Lane lane, std::unique_ptr<Sender> ids)
        : redis_{context}, ids_{std::move(ids)}, blob_(context.options.size_bytes), id_{index(lane) << 56U} {}

    std::span<std::byte> loan() override { return blob_; }

    void send() override {
        redis_.append({"SET", std::to_string(id_), text(blob_)});
        static_cast<void>(redis_.reply());
        std::memcpy(ids_->loan().data(), &id_, sizeof id_);
        ids_->send();
        ++id_;
    }

private:
    Redis redis_;
    std::unique_ptr<Sender> ids_;
    std::vector<std::byte> blob_;
    std::uint64_t id_;
};

class XstreamReceiver final : public Receiver {
public:
    XstreamReceiver(const Context& context, std::unique_ptr<Receiver> ids) : redis_{context}, ids_{std::move(ids)} {}

    std::span<const std::byte> receive() override {
        const auto message = ids_->receive();
        if (message.empty()) return {};
        std::uint64_t id = 0;
        if (message.size() != sizeof id) throw std::runtime_error{"an id has the wrong size"};
        std::memcpy(&id, message.data(), sizeof id);
        ids_->release();
        redis_.append({"GETDEL", std::to_string(id)});
        reply_ = redis_.reply();
        return bytes(reply_.get());
    }

    void release() override { reply_.reset(); }

private:
    Redis redis_;
    std::unique_ptr<Receiver> ids_;
    Reply reply_;
};

class Xstream final : public Peer {
public:
    [[nodiscard]] std::string name() const override { return "redis+zeromq"; }
    [[nodiscard]] bool shares_work() const override { return true; }
    [[nodiscard]] bool has_helper_threads() const override { return true; }

    std::vector<Server> start_servers(const Context& context) override {
        std::vector<Server> servers;
        servers.push_back(start_redis(context));
        return servers;
    }
    std::unique_ptr<Sender> make_sender(const Context& context, Lane lane) override {
        return std::make_unique<XstreamSender>(context, lane, ids_.make_sender(context, lane, sizeof(std::uint64_t)));
    }
    std::unique_ptr<Receiver> make_receiver(const Context& context, Lane lane) override {
        return std::make_unique<XstreamReceiver>(context, ids_.make_receiver(context, lane));
    }

private:
    ZeromqLanes ids_{ZeromqLanes::Transport::ipc};
};

}  // namespace

int main(int argc, char** argv) {
    Xstream peer;
    return run_peer(argc, argv, peer);
}
