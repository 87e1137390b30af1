#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <memory>
#include <stdexcept>

#include <fcntl.h>
#include <grp.h>
#include <iceoryx_hoofs/log/logmanager.hpp>
#include <iceoryx_posh/popo/untyped_publisher.hpp>
#include <iceoryx_posh/popo/untyped_subscriber.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include "peers/harness.hpp"

using namespace penstock::bench;

namespace {

constexpr std::uint32_t alignment = 64;
constexpr std::size_t most_queued = 256;  // iceoryx is built for no more
constexpr double connect_s = 10;

[[nodiscard]] iox::capro::ServiceDescription service(Lane lane) {
    const std::string event = "lane" + std::to_string(index(lane));
    return {"penstock", "bench", iox::capro::IdString_t{iox::cxx::TruncateToCapacity, event}};
}

[[nodiscard]] iox::popo::PublisherOptions publisher_options() {
    iox::popo::PublisherOptions options;
    options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    return options;
}

[[nodiscard]] iox::popo::SubscriberOptions subscriber_options(std::size_t queue) {
    iox::popo::SubscriberOptions options;
    options.queueCapacity = queue;
    options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
    return options;
}

class IceoryxSender final : public Sender {
public:
    IceoryxSender(const Context& context, Lane lane)
        : context_{context}, publisher_{service(lane), publisher_options()} {}

    std::span<std::byte> loan() override {
        if (!is_connected_) await_subscriber();
        const auto size_bytes = static_cast<std::uint32_t>(context_.options.size_bytes);
        auto chunk = publisher_.loan(size_bytes, alignment);
        if (chunk.has_error()) {
            const Deadline deadline{context_, connect_s};
            while (chunk.has_error()) {
                deadline.check("waiting for a free chunk");
                context_.relax();
                chunk = publisher_.loan(size_bytes, alignment);
            }
        }
        chunk_ = chunk.value();
        return {static_cast<std::byte*>(chunk_), size_bytes};
    }

    void send() override { publisher_.publish(chunk_); }

private:
    void await_subscriber() {
        const Deadline deadline{context_, connect_s};
        while (!publisher_.hasSubscribers()) {
            deadline.check("waiting for the subscriber");
            usleep(1000);
        }
        is_connected_ = true;
    }

    const Context& context_;
    iox::popo::UntypedPublisher publisher_;
    void* chunk_ = nullptr;
    bool is_connected_ = false;
};

/// Polls, which is the fastest way to use it.
class IceoryxReceiver final : public Receiver {
public:
    IceoryxReceiver(const Context& context, Lane lane)
        : size_bytes_{context.options.size_bytes},
          subscriber_{service(lane), subscriber_options(slots(context.options, most_queued))} {}

    std::span<const std::byte> receive() override {
        auto chunk = subscriber_.take();
        if (chunk.has_error()) {
            if (chunk.get_error() == iox::popo::ChunkReceiveResult::NO_CHUNK_AVAILABLE) return {};
            throw std::runtime_error{"iceoryx: too many chunks held"};
        }
        chunk_ = chunk.value();
        return {static_cast<const std::byte*>(chunk_), size_bytes_};
    }

    void release() override { subscriber_.release(chunk_); }

private:
    std::size_t size_bytes_;
    iox::popo::UntypedSubscriber subscriber_;
    const void* chunk_ = nullptr;
};

class Iceoryx final : public Peer {
public:
    [[nodiscard]] std::string name() const override { return "iceoryx"; }

    std::vector<Server> start_servers(const Context& context) override {
        const std::string file = context.directory + "/roudi.toml";
        const std::size_t lanes = 2;
        const std::size_t chunks = lanes * (slots(context.options, most_queued) + 8);
        const std::size_t chunk_bytes = (context.options.size_bytes + 2 * alignment + 63) / 64 * 64;
        std::ofstream{file} << "[general]\nversion = 1\n\n[[segment]]\n\n[[segment.mempool]]\nsize = " << chunk_bytes
                            << "\ncount = " << chunks << "\n";
        std::vector<Server> servers;
        servers.emplace_back(std::vector<std::string>{"iox-roudi", "-c", file, "-l", "warning", "-k", "1"},
                             context.directory + "/roudi.log");
        Server& roudi = servers.front();
        wait_until(
            [&] {
                roudi.check_alive();
                return roudi.log().find("RouDi is ready for clients") != std::string::npos;
            },
            connect_s, "starting iox-roudi");
        return servers;
    }

    /// A role leaves through exit(), because that is where iceoryx takes its leave of RouDi.
    std::vector<Child> launch(const Context& context) override {
        std::vector<Child> roles;
        for (int role = 0; role <= context.options.consumers(); ++role) {
            roles.emplace_back([&, role] {
                dup2(STDERR_FILENO, STDOUT_FILENO);
                int code = 0;
                try {
                    iox::log::LogManager::GetLogManager().SetDefaultLogLevel(iox::log::LogLevel::kWarn,
                                                                             iox::log::LogLevelOutput::kHideLogLevel);
                    iox::runtime::PoshRuntime::initRuntime(
                        iox::RuntimeName_t{iox::cxx::TruncateToCapacity, application(supervisor_, role)});
                    run_role(*this, context, role);
                } catch (const std::exception& error) {
                    std::fprintf(stderr, "%s\n", error.what());
                    code = 1;
                }
                std::exit(code);
            });
        }
        return roles;
    }

    /// A killed role leaves its socket and its lock behind, and RouDi aborts when a role is gone before it.
    void clean_up(const Context& context) noexcept override {
        for (int role = 0; role <= context.options.consumers(); ++role) {
            const std::string file = "/tmp/" + application(supervisor_, role);
            unlink(file.c_str());
            unlink((file + ".lock").c_str());
        }
        // Whoever holds the lock is the one RouDi of this machine, so the rest is only removed if nobody does.
        const int lock = open("/tmp/iox-unique-roudi.lock", O_RDWR | O_CLOEXEC);
        if (lock < 0) return;
        if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
            const group* segment = getgrgid(getegid());
            if (segment != nullptr) shm_unlink((std::string{"/"} + segment->gr_name).c_str());
            shm_unlink("/iceoryx_mgmt");
            for (const char* file : {"/tmp/roudi", "/tmp/roudi.lock", "/tmp/iox-unique-roudi.lock"}) unlink(file);
        }
        close(lock);
    }

    std::unique_ptr<Sender> make_sender(const Context& context, Lane lane) override {
        return std::make_unique<IceoryxSender>(context, lane);
    }
    std::unique_ptr<Receiver> make_receiver(const Context& context, Lane lane) override {
        return std::make_unique<IceoryxReceiver>(context, lane);
    }

private:
    [[nodiscard]] static std::string application(pid_t supervisor, int role) {
        return "penstock-bench-" + std::to_string(supervisor) + "-" + std::to_string(role);
    }

    pid_t supervisor_ = getpid();
};

}  // namespace

int main(int argc, char** argv) {
    Iceoryx peer;
    return run_peer(argc, argv, peer);
}
