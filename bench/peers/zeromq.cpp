#include <cstdio>
#include <exception>

#include "limits/measure.hpp"
#include "peers/harness.hpp"
#include "peers/zeromq_lanes.hpp"

using namespace penstock::bench;

namespace {

class Zeromq final : public Peer {
public:
    explicit Zeromq(std::string transport)
        : transport_{std::move(transport)},
          lanes_{transport_ == "tcp" ? ZeromqLanes::Transport::tcp : ZeromqLanes::Transport::ipc} {}

    [[nodiscard]] std::string name() const override { return "zeromq-" + transport_; }
    [[nodiscard]] bool shares_work() const override { return true; }  // PUSH feeds every PULL that has room
    [[nodiscard]] bool has_helper_threads() const override { return true; }

    std::unique_ptr<Sender> make_sender(const Context& context, Lane lane) override {
        return lanes_.make_sender(context, lane, context.options.size_bytes);
    }
    std::unique_ptr<Receiver> make_receiver(const Context& context, Lane lane) override {
        return lanes_.make_receiver(context, lane);
    }

private:
    std::string transport_;
    ZeromqLanes lanes_;
};

}  // namespace

int main(int argc, char** argv) {
    try {
        const std::string transport = take_option(argc, argv, "--transport", "ipc");
        if (transport != "ipc" && transport != "tcp") throw std::runtime_error{"--transport is ipc or tcp"};
        Zeromq peer{transport};
        return run_peer(argc, argv, peer);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "peer_zeromq: %s\n", error.what());
        return 1;
    }
}
