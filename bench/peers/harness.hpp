#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "limits/process.hpp"

/// The four workloads, written once; a peer only says how one message is sent and received.
namespace penstock::bench {

/// From the command line: --workload W1a|W1b|W2|W3 --size BYTES --seconds S [--pin] [--window MESSAGES].
struct Options {
    std::string workload;
    std::size_t size_bytes = 0;
    double seconds = 1;
    bool is_pinned = false;
    std::size_t window = 0;  ///< Messages in flight at most; 0 for what `window()` says.

    [[nodiscard]] int consumers() const noexcept { return workload == "W3" ? 2 : 1; }
    [[nodiscard]] bool is_touched() const noexcept { return workload != "W1a"; }
    [[nodiscard]] bool is_round_trip() const noexcept { return workload == "W2"; }
};

/// @throws std::runtime_error for anything it does not know.
[[nodiscard]] Options parse_options(int argc, char** argv);

/// Messages in flight at most: a power of two, 4 in a round trip.
[[nodiscard]] std::size_t slots(const Options& options, std::size_t most = 1024) noexcept;

/// One direction between two processes.
enum class Lane : unsigned {
    first,   ///< producer to consumer
    second,  ///< producer to the second processor (W3)
    back,    ///< consumer to producer (W2)
};
inline constexpr std::size_t lane_count = 3;
[[nodiscard]] constexpr std::size_t index(Lane lane) noexcept {
    return static_cast<std::size_t>(lane);
}

/// What the processes of one run share. The payloads never go through here.
struct Control {
    static constexpr std::uint64_t not_yet = ~std::uint64_t{0};
    static constexpr std::size_t text_bytes = 256;

    struct alignas(128) Tally {
        std::atomic<std::uint64_t> received{0};
        double messages_per_s = 0;
    };
    struct Endpoint {
        std::atomic<bool> is_known{false};
        std::array<char, text_bytes> text{};
    };

    std::array<char, 8> workload{};
    std::size_t size_bytes = 0;
    double seconds = 0;
    bool is_pinned = false;
    std::size_t window = 0;
    std::array<char, text_bytes> directory{};

    std::atomic<int> ready{0};
    std::atomic<int> finished{0};
    std::atomic<bool> has_failed{false};
    std::atomic<std::int64_t> start_ns{0};
    std::atomic<std::uint64_t> total{not_yet};  ///< Messages sent; known once the producer has stopped.
    std::array<Tally, 2> tallies;
    double p50_us = 0;
    double p99_us = 0;
    std::array<Endpoint, lane_count> endpoints;
};

/// What a peer may know of the run.
struct Context {
    Options options;
    Control& control;
    std::string directory;    ///< Private, removed at the end of the run.
    bool is_crowded = false;  ///< More processes than CPUs: who waits must give the CPU away.

    /// Waits a moment inside a polling loop.
    void relax() const noexcept;

    /// Tells the other processes where a lane is reached, and asks for it.
    void publish_endpoint(Lane lane, const std::string& text) const;
    [[nodiscard]] std::string endpoint(Lane lane) const;
};

/// A bounded wait in a role.
class Deadline {
public:
    Deadline(const Context& context, double seconds);

    /// @throws std::runtime_error naming `what` once the time is over or another process has failed.
    void check(const char* what) const;

private:
    const Control& control_;
    std::int64_t end_ns_;
};

class Sender {
public:
    virtual ~Sender() = default;
    /// Memory for the next message, of the size of the run. Waits until there is some.
    [[nodiscard]] virtual std::span<std::byte> loan() = 0;
    /// Sends what was loaned last.
    virtual void send() = 0;
    /// Pushes on what is still held back, without waiting for the other side.
    virtual void flush() {}
};

class Receiver {
public:
    virtual ~Receiver() = default;
    /// The next message, valid until `release`; empty if there was none within about 10 ms or at once.
    [[nodiscard]] virtual std::span<const std::byte> receive() = 0;
    virtual void release() = 0;
};

/// A program that a peer needs beside it. Ended in good order, so that it cleans up after itself.
class Server {
public:
    /// @param log  File for stdout and stderr.
    Server(std::vector<std::string> command, std::string log);
    Server(Server&&) noexcept = default;
    Server& operator=(Server&&) noexcept = default;
    ~Server();

    /// @throws std::runtime_error with the end of the log if it has ended.
    void check_alive();
    [[nodiscard]] std::string log() const;

private:
    std::string name_;
    std::string log_file_;
    Child child_;
};

/// For a child about to become another program: it is ended by SIGTERM from this process, once and in good order, also
/// when this process is killed; an interrupt from the terminal does not reach it directly.
void detach_from_terminal();

class Peer {
public:
    virtual ~Peer() = default;

    [[nodiscard]] virtual std::string name() const = 0;
    /// True if one sender feeds both processors of W3 by itself.
    [[nodiscard]] virtual bool shares_work() const { return false; }
    /// True if its threads deserve the CPUs that no role is pinned to.
    [[nodiscard]] virtual bool has_helper_threads() const { return false; }

    /// Called before the roles start, in the supervising process.
    [[nodiscard]] virtual std::vector<Server> start_servers(const Context&) { return {}; }
    /// Starts the producer and the consumers; by default one forked process each.
    [[nodiscard]] virtual std::vector<Child> launch(const Context& context);

    /// Called when everything has ended, however it ended: removes what killed processes may have left behind.
    /// It runs in a process of its own, forked before the servers were started, and knows the context alone.
    virtual void clean_up(const Context&) noexcept {}

    /// Called in the process of the role.
    [[nodiscard]] virtual std::unique_ptr<Sender> make_sender(const Context&, Lane) = 0;
    [[nodiscard]] virtual std::unique_ptr<Receiver> make_receiver(const Context&, Lane) = 0;
};

/// Waits in the supervising process until `holds`, looking every few milliseconds.
/// @throws std::runtime_error after `seconds`, or when the user interrupts.
void wait_until(const std::function<bool()>& holds, double seconds, const std::string& what);

/// One role: 0 is the producer, 1 and 2 are consumers.
void run_role(Peer& peer, const Context& context, int role);

/// Where another program finds the control block of this one, and how it opens it.
[[nodiscard]] std::string control_path(const Context& context);
[[nodiscard]] Context open_control(const std::string& path);

/// The whole program: parses, runs, prints the rows on stdout, cleans up. Returns the exit code.
[[nodiscard]] int run_peer(int argc, char** argv, Peer& peer);

}  // namespace penstock::bench
