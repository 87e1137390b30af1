#include "peers/harness.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>

#include <fcntl.h>
#include <malloc.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limits/measure.hpp"

namespace penstock::bench {
namespace {

constexpr double setup_s = 20;
constexpr double grace_s = 15;
constexpr std::size_t most_samples = 1U << 22U;
int control_fd = -1;  // of this process, for control_path

struct Interrupted : std::runtime_error {
    explicit Interrupted(int number) : std::runtime_error{"interrupted"}, signal{number} {}
    int signal;
};

[[nodiscard]] std::int64_t to_ns(double seconds) {
    return static_cast<std::int64_t>(seconds * 1e9);
}

/// The part of the run before the measurement.
[[nodiscard]] double warm_s(const Options& options) {
    return std::min(0.5, options.seconds / 4);
}

[[nodiscard]] double longest_s(const Options& options) {
    return warm_s(options) + options.seconds + grace_s;
}

void nap_us(long microseconds) {
    const timespec nap{.tv_sec = 0, .tv_nsec = microseconds * 1000};
    nanosleep(&nap, nullptr);
}

[[nodiscard]] sigset_t watched_signals() {
    sigset_t set;
    sigemptyset(&set);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) sigaddset(&set, signal);
    return set;
}

/// Sleeps until a child ends or the time is over.
void wait_for_signal(long milliseconds) {
    const sigset_t set = watched_signals();
    const timespec timeout{.tv_sec = milliseconds / 1000, .tv_nsec = milliseconds % 1000 * 1'000'000};
    const int signal = sigtimedwait(&set, nullptr, &timeout);
    if (signal > 0 && signal != SIGCHLD) throw Interrupted{signal};
}

[[nodiscard]] std::string make_directory() {
    const char* base = std::getenv("TMPDIR");
    std::string path = std::string{base != nullptr && *base != '\0' ? base : "/tmp"} + "/penstock-bench-XXXXXX";
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error{"cannot create \"" + path + "\""};
    return path;
}

/// A process that waits for the end of this one, even a violent one, and then cleans up.
class Janitor {
public:
    explicit Janitor(const std::function<void()>& clean_up) {
        std::array<int, 2> ends{};
        if (pipe2(ends.data(), O_CLOEXEC) != 0) throw std::runtime_error{"cannot create a pipe"};
        life_line_ = ends[1];
        const pid_t parent = getpid();
        pid_ = fork();
        if (pid_ < 0) throw std::runtime_error{std::string{"cannot start a process: "} + std::strerror(errno)};
        if (pid_ > 0) {
            close(ends[0]);
            return;
        }
        close(life_line_);
        char none = 0;
        // Ends when the last holder of the other end is gone: the parent, or a role that survived it for a moment.
        while (read(ends[0], &none, 1) < 0 && errno == EINTR) {
        }
        if (getppid() != parent) sleep(orphaned_servers_s);
        clean_up();
        _exit(0);
    }
    Janitor(const Janitor&) = delete;
    Janitor& operator=(const Janitor&) = delete;
    ~Janitor() {
        close(life_line_);
        while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

private:
    static constexpr unsigned orphaned_servers_s = 3;

    int life_line_ = -1;
    pid_t pid_ = -1;
};

template <std::size_t Size>
void copy_text(std::array<char, Size>& to, const std::string& from) {
    if (from.size() >= Size) throw std::runtime_error{"\"" + from + "\" is too long"};
    std::copy(from.begin(), from.end(), to.begin());
    to.at(from.size()) = '\0';
}

[[nodiscard]] Control* map_control(int fd) {
    void* address = mmap(nullptr, sizeof(Control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) throw std::runtime_error{std::string{"no shared memory: "} + std::strerror(errno)};
    return static_cast<Control*>(address);
}

/// In a nameless file, so that programs which are not forked from here can open it too.
[[nodiscard]] Control& create_control(const Options& options, const std::string& directory) {
    control_fd = memfd_create("penstock-bench", MFD_CLOEXEC);
    if (control_fd < 0 || ftruncate(control_fd, sizeof(Control)) != 0) {
        throw std::runtime_error{std::string{"no shared memory: "} + std::strerror(errno)};
    }
    Control* control = std::construct_at(map_control(control_fd));
    copy_text(control->workload, options.workload);
    control->size_bytes = options.size_bytes;
    control->seconds = options.seconds;
    control->is_pinned = options.is_pinned;
    control->window = options.window;
    copy_text(control->directory, directory);
    return *control;
}

[[nodiscard]] bool is_crowded(const Options& options) {
    return static_cast<int>(allowed_cpus().size()) < options.consumers() + 1;
}

/// The producer on the first CPU, the consumers on the following ones; helper threads may use those left over.
void pin_role(const Peer& peer, const Options& options, int role) {
    const std::vector<int> cpus = allowed_cpus();
    if (!options.is_pinned || cpus.empty()) return;
    const auto roles = static_cast<std::size_t>(options.consumers()) + 1;
    std::vector<int> mine{cpus[std::min(static_cast<std::size_t>(role), cpus.size() - 1)]};
    if (peer.has_helper_threads() && cpus.size() > roles) {
        mine.insert(mine.end(), cpus.begin() + static_cast<std::ptrdiff_t>(roles), cpus.end());
    }
    pin_to(mine);
}

/// Reading the clock costs as much as a small message.
[[nodiscard]] std::uint64_t clock_mask(std::size_t size_bytes) {
    return size_bytes < (16U << 10U) ? 31 : 0;
}

/// Gives each message to the processor that has the fewest waiting.
class Chooser {
public:
    Chooser(const Control& control, std::size_t lanes) : control_{control}, sent_(lanes), received_(lanes) {}

    [[nodiscard]] std::size_t next() {
        if (sent_.size() == 1) return 0;
        if (count_++ % refresh == 0 || control_.size_bytes >= (64U << 10U)) {
            for (std::size_t i = 0; i < received_.size(); ++i) {
                received_[i] = control_.tallies.at(i).received.load(std::memory_order_relaxed);
            }
        }
        const std::size_t lane = sent_[1] - received_[1] < sent_[0] - received_[0] ? 1 : 0;
        ++sent_[lane];
        return lane;
    }

private:
    static constexpr std::uint64_t refresh = 16;

    const Control& control_;
    std::vector<std::uint64_t> sent_;
    std::vector<std::uint64_t> received_;
    std::uint64_t count_ = 0;
};

void wait_for_consumers(const Context& context, std::span<const std::unique_ptr<Sender>> senders) {
    const Deadline deadline{context, grace_s};
    while (context.control.finished.load() < context.options.consumers()) {
        for (const auto& sender : senders) sender->flush();
        deadline.check("waiting for the consumer to receive the last message");
        nap_us(50);
    }
}

void produce(const Context& context, std::span<const std::unique_ptr<Sender>> senders) {
    const Options& options = context.options;
    const std::int64_t end_ns = context.control.start_ns.load() + to_ns(warm_s(options) + options.seconds);
    const std::uint64_t mask = clock_mask(options.size_bytes);
    Chooser chooser{context.control, senders.size()};
    std::uint64_t sequence = 0;
    while ((sequence & mask) != 0 || now_ns() < end_ns) {
        Sender& sender = *senders[chooser.next()];
        const auto blob = sender.loan();
        if (options.is_touched()) fill(blob, sequence);
        sender.send();
        ++sequence;
    }
    for (const auto& sender : senders) sender->flush();
    context.control.total.store(sequence, std::memory_order_release);
    wait_for_consumers(context, senders);
}

/// The rate between the first message after the warm-up and the first one after the end of the measurement.
class Meter {
public:
    explicit Meter(const Context& context)
        : warm_ns_{context.control.start_ns.load() + to_ns(warm_s(context.options))},
          end_ns_{warm_ns_ + to_ns(context.options.seconds)} {}

    void mark(std::uint64_t count) {
        const std::int64_t now = now_ns();
        if (now < warm_ns_ || is_over_) return;
        if (first_ns_ == 0) {
            first_ns_ = now;
            first_ = count;
            return;
        }
        last_ns_ = now;
        last_ = count;
        is_over_ = now >= end_ns_;
    }

    [[nodiscard]] double messages_per_s() const {
        if (last_ <= first_) return 0;
        return static_cast<double>(last_ - first_) / static_cast<double>(last_ns_ - first_ns_) * 1e9;
    }

private:
    std::int64_t warm_ns_;
    std::int64_t end_ns_;
    std::int64_t first_ns_ = 0;
    std::int64_t last_ns_ = 0;
    std::uint64_t first_ = 0;
    std::uint64_t last_ = 0;
    bool is_over_ = false;
};

[[nodiscard]] bool is_complete(const Control& control) {
    const std::uint64_t total = control.total.load(std::memory_order_acquire);
    if (total == Control::not_yet) return false;
    const std::uint64_t received = control.tallies[0].received.load() + control.tallies[1].received.load();
    if (received > total) throw std::runtime_error{"more messages were received than sent"};
    return received == total;
}

void check_message(const Options& options, std::span<const std::byte> message, std::uint64_t& next) {
    if (message.size() != options.size_bytes) throw std::runtime_error{"a message has the wrong size"};
    if (!options.is_touched()) return;
    const std::uint64_t sequence = sequence_of(message);
    const bool is_next = options.consumers() == 1 ? sequence == next : sequence >= next;
    if (!is_next) {
        throw std::runtime_error{"received message " + std::to_string(sequence) + " instead of " +
                                 std::to_string(next)};
    }
    check_filled(message, sequence);
    next = sequence + 1;
}

void consume(const Context& context, Receiver& receiver, std::size_t me) {
    const Options& options = context.options;
    const Deadline deadline{context, longest_s(options)};
    const std::uint64_t mask = clock_mask(options.size_bytes);
    Control::Tally& tally = context.control.tallies.at(me);
    Meter meter{context};
    std::uint64_t count = 0;
    std::uint64_t next = 0;
    for (std::uint64_t idle = 0;;) {
        const auto message = receiver.receive();
        if (message.empty()) {
            if (is_complete(context.control)) break;
            if (idle++ % 256 == 0) deadline.check("waiting for a message");
            context.relax();
            continue;
        }
        check_message(options, message, next);
        receiver.release();
        tally.received.store(++count, std::memory_order_release);
        if ((count & mask) == 0) meter.mark(count);
    }
    tally.messages_per_s = meter.messages_per_s();
    context.control.finished.fetch_add(1);
}

[[nodiscard]] std::span<const std::byte> await_message(const Context& context, Receiver& receiver,
                                                       const Deadline& deadline, std::uint64_t count) {
    for (std::uint64_t idle = 1;; ++idle) {
        const auto message = receiver.receive();
        if (!message.empty() || context.control.total.load(std::memory_order_acquire) == count) return message;
        if (idle % 256 == 0) deadline.check("waiting for a message");
        context.relax();
    }
}

void ping(const Context& context, std::span<const std::unique_ptr<Sender>> senders, Receiver& receiver) {
    const Options& options = context.options;
    const Deadline deadline{context, longest_s(options)};
    Sender& sender = *senders.front();
    const std::int64_t warm_ns = context.control.start_ns.load() + to_ns(warm_s(options));
    const std::int64_t end_ns = warm_ns + to_ns(options.seconds);
    std::vector<double> round_trips_us;
    round_trips_us.reserve(most_samples);
    std::int64_t last_ns = now_ns();
    std::uint64_t sequence = 0;
    while (last_ns < end_ns && round_trips_us.size() < most_samples) {
        fill(sender.loan(), sequence);
        sender.send();
        sender.flush();
        const auto reply = await_message(context, receiver, deadline, Control::not_yet - 1);
        check_message(options, reply, sequence);
        receiver.release();
        const std::int64_t now = now_ns();
        if (last_ns >= warm_ns) round_trips_us.push_back(static_cast<double>(now - last_ns) / 1e3);
        last_ns = now;
    }
    context.control.p50_us = percentile(round_trips_us, 50) / 2;
    context.control.p99_us = percentile(round_trips_us, 99) / 2;
    context.control.total.store(sequence, std::memory_order_release);
    wait_for_consumers(context, senders);
}

void pong(const Context& context, Sender& sender, Receiver& receiver) {
    const Options& options = context.options;
    const Deadline deadline{context, longest_s(options)};
    for (std::uint64_t sequence = 0;;) {
        const auto message = await_message(context, receiver, deadline, sequence);
        if (message.empty()) break;
        const std::uint64_t received = sequence;
        check_message(options, message, sequence);
        receiver.release();
        fill(sender.loan(), received);
        sender.send();
        sender.flush();
    }
    context.control.finished.fetch_add(1);
}

/// Nobody starts before everybody is connected.
void start_together(const Context& context, int role) {
    Control& control = context.control;
    const Deadline deadline{context, setup_s};
    control.ready.fetch_add(1);
    while (control.ready.load() < context.options.consumers() + 1) {
        deadline.check("waiting for the others to connect");
        nap_us(200);
    }
    if (role == 0) control.start_ns.store(now_ns());
    while (control.start_ns.load() == 0) context.relax();
}

[[nodiscard]] std::vector<Row> rows(const Peer& peer, const Context& context) {
    const Options& options = context.options;
    const Control& control = context.control;
    const auto row = [&](double value, const char* unit) {
        return Row{peer.name(), options.workload, options.size_bytes, value, unit, {}};
    };
    if (options.is_round_trip()) return {row(control.p50_us, "us p50"), row(control.p99_us, "us p99")};
    const double rate = control.tallies[0].messages_per_s + control.tallies[1].messages_per_s;
    if (!(rate > 0)) throw std::runtime_error{"too few messages to measure; raise --seconds"};
    if (options.workload == "W1b") return {row(rate * static_cast<double>(options.size_bytes) / 1e9, "GB/s")};
    return {row(rate, "msg/s")};
}

void supervise(const Context& context, std::vector<Server>& servers, std::vector<Child>& roles) {
    const std::int64_t end_ns = now_ns() + to_ns(setup_s + longest_s(context.options) + grace_s);
    while (true) {
        bool is_any_running = false;
        for (Child& role : roles) {
            if (role.is_running()) {
                is_any_running = true;
            } else if (!role.has_succeeded()) {
                context.control.has_failed.store(true);
                throw std::runtime_error{"a process of the run failed"};
            }
        }
        if (!is_any_running) return;
        for (Server& server : servers) server.check_alive();
        if (now_ns() > end_ns) throw std::runtime_error{"the run did not end in time"};
        wait_for_signal(500);
    }
}

[[nodiscard]] std::vector<Row> run(int argc, char** argv, Peer& peer) {
    const Options options = parse_options(argc, argv);
    const std::string directory = make_directory();
    const Context context{options, create_control(options, directory), directory, is_crowded(options)};
    const Janitor janitor{[&] {
        std::error_code ignored;
        peer.clean_up(context);
        std::filesystem::remove_all(directory, ignored);
    }};
    std::vector<Server> servers = peer.start_servers(context);
    std::vector<Child> roles = peer.launch(context);
    try {
        supervise(context, servers, roles);
    } catch (...) {
        for (Child& role : roles) role.stop(SIGTERM, 5000);
        throw;
    }
    return rows(peer, context);
}

}  // namespace

Options parse_options(int argc, char** argv) {
    Options options;
    options.workload = take_option(argc, argv, "--workload");
    options.size_bytes = parse_size(take_option(argc, argv, "--size", "64"));
    options.seconds = std::strtod(take_option(argc, argv, "--seconds", "1").c_str(), nullptr);
    options.window = parse_size(take_option(argc, argv, "--window", "0"));
    options.is_pinned = take_flag(argc, argv, "--pin");
    if (argc > 1) throw std::runtime_error{"unknown argument \"" + std::string{argv[1]} + "\""};
    const bool is_known =
        options.workload == "W1a" || options.workload == "W1b" || options.workload == "W2" || options.workload == "W3";
    if (!is_known) throw std::runtime_error{"--workload is one of W1a, W1b, W2, W3"};
    if (options.size_bytes < 8 || options.size_bytes > (std::size_t{256} << 20U)) {
        throw std::runtime_error{"--size is 8 bytes to 256 MiB"};
    }
    if (options.window > 4096) throw std::runtime_error{"--window is at most 4096"};
    if (!(options.seconds >= 0.05 && options.seconds <= 600)) throw std::runtime_error{"--seconds is 0.05 to 600"};
    return options;
}

std::size_t slots(const Options& options, std::size_t most) noexcept {
    if (options.is_round_trip()) return 4;
    return options.window == 0 ? window(options.size_bytes, most)
                               : std::bit_floor(std::clamp<std::size_t>(options.window, 2, most));
}

void Context::relax() const noexcept {
    if (is_crowded) {
        sched_yield();
    } else {
        pause();
    }
}

void Context::publish_endpoint(Lane lane, const std::string& text) const {
    Control::Endpoint& entry = control.endpoints.at(index(lane));
    copy_text(entry.text, text);
    entry.is_known.store(true, std::memory_order_release);
}

std::string Context::endpoint(Lane lane) const {
    const Control::Endpoint& entry = control.endpoints.at(index(lane));
    const Deadline deadline{*this, setup_s};
    while (!entry.is_known.load(std::memory_order_acquire)) {
        deadline.check("waiting for the sender's address");
        nap_us(200);
    }
    return entry.text.data();
}

Deadline::Deadline(const Context& context, double seconds)
    : control_{context.control}, end_ns_{now_ns() + to_ns(seconds)} {}

void Deadline::check(const char* what) const {
    if (control_.has_failed.load(std::memory_order_relaxed)) throw std::runtime_error{"another process failed"};
    if (now_ns() < end_ns_) return;
    const std::uint64_t total = control_.total.load();
    throw std::runtime_error{std::string{"timed out while "} + what + "; received " +
                             std::to_string(control_.tallies[0].received.load() + control_.tallies[1].received.load()) +
                             " of " + (total == Control::not_yet ? "so far unknown" : std::to_string(total))};
}

void detach_from_terminal() {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
}

Server::Server(std::vector<std::string> command, std::string log)
    : name_{command.front()}, log_file_{std::move(log)}, child_{[&] {
          detach_from_terminal();
          const int file = open(log_file_.c_str(), O_CREAT | O_WRONLY | O_APPEND, 0600);
          const int null = open("/dev/null", O_RDONLY);
          if (file < 0 || null < 0) throw std::runtime_error{"cannot write \"" + log_file_ + "\""};
          dup2(null, STDIN_FILENO);
          dup2(file, STDOUT_FILENO);
          dup2(file, STDERR_FILENO);
          std::vector<char*> arguments;
          for (std::string& argument : command) arguments.push_back(argument.data());
          arguments.push_back(nullptr);
          execvp(arguments[0], arguments.data());
          throw std::runtime_error{"cannot start " + command.front() + ": " + std::strerror(errno)};
      }} {}

Server::~Server() {
    child_.stop(SIGTERM, 5000);
}

void Server::check_alive() {
    if (!child_.is_running()) throw std::runtime_error{name_ + " has ended: " + log()};
}

std::string Server::log() const {
    std::ifstream file{log_file_};
    std::string text{std::istreambuf_iterator<char>{file}, {}};
    constexpr std::size_t most = 2000;
    return text.size() > most ? text.substr(text.size() - most) : text;
}

std::vector<Child> Peer::launch(const Context& context) {
    std::vector<Child> roles;
    roles.reserve(static_cast<std::size_t>(context.options.consumers()) + 1);
    for (int role = 0; role <= context.options.consumers(); ++role) {
        roles.emplace_back([&, role] {
            dup2(STDERR_FILENO, STDOUT_FILENO);  // stdout is for the rows alone
            run_role(*this, context, role);
        });
    }
    return roles;
}

void wait_until(const std::function<bool()>& holds, double seconds, const std::string& what) {
    const std::int64_t end_ns = now_ns() + to_ns(seconds);
    while (!holds()) {
        if (now_ns() > end_ns) throw std::runtime_error{"timed out while " + what};
        wait_for_signal(5);
    }
}

void run_role(Peer& peer, const Context& context, int role) {
    try {
        const Options& options = context.options;
        // Large messages come from memory that is kept and used again, not from fresh pages: what a tuned user does.
        mallopt(M_MMAP_THRESHOLD, 1 << 25);
        mallopt(M_TRIM_THRESHOLD, 1 << 30);
        pin_role(peer, options, role);

        std::vector<std::unique_ptr<Sender>> senders;
        std::unique_ptr<Receiver> receiver;
        const bool is_producer = role == 0;
        if (is_producer) senders.push_back(peer.make_sender(context, Lane::first));
        if (is_producer && options.consumers() == 2 && !peer.shares_work()) {
            senders.push_back(peer.make_sender(context, Lane::second));
        }
        if (!is_producer && options.is_round_trip()) senders.push_back(peer.make_sender(context, Lane::back));
        if (is_producer && options.is_round_trip()) receiver = peer.make_receiver(context, Lane::back);
        if (!is_producer) {
            receiver = peer.make_receiver(context, role == 2 && !peer.shares_work() ? Lane::second : Lane::first);
        }
        start_together(context, role);
        if (options.is_round_trip()) {
            is_producer ? ping(context, senders, *receiver) : pong(context, *senders.front(), *receiver);
        } else {
            is_producer ? produce(context, senders) : consume(context, *receiver, static_cast<std::size_t>(role) - 1);
        }
    } catch (const std::exception& error) {
        context.control.has_failed.store(true);
        throw std::runtime_error{peer.name() + ", " + (role == 0 ? "producer: " : "consumer: ") + error.what()};
    }
}

std::string control_path(const Context&) {
    return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(control_fd);
}

Context open_control(const std::string& path) {
    control_fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    if (control_fd < 0) throw std::runtime_error{"cannot open \"" + path + "\": " + std::strerror(errno)};
    Control& control = *map_control(control_fd);
    const Options options{control.workload.data(), control.size_bytes, control.seconds, control.is_pinned,
                          control.window};
    return {options, control, control.directory.data(), is_crowded(options)};
}

int run_peer(int argc, char** argv, Peer& peer) {
    const sigset_t set = watched_signals();
    sigprocmask(SIG_BLOCK, &set, nullptr);
    try {
        for (const Row& row : run(argc, argv, peer)) std::printf("%s\n", to_json(row).c_str());
        return 0;
    } catch (const Interrupted& interrupt) {
        return 128 + interrupt.signal;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s: %s\n", peer.name().c_str(), error.what());
        return 1;
    }
}

}  // namespace penstock::bench
