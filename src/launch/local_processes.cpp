#include "launch/local_processes.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <system_error>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.hpp"
#include "base/format.hpp"

#ifdef PENSTOCK_COVERAGE
extern "C" void __gcov_dump(void);
#endif

namespace penstock {
namespace {

/// No honest contribution to a start-up exchange is larger.
constexpr std::uint32_t longest_message = 64U << 20U;

[[nodiscard]] Error socket_error(std::string_view what) {
    const bool late = errno == EAGAIN || errno == EWOULDBLOCK;
    return Error{late ? Errc::timed_out : Errc::disconnected,
                 std::string{what} + ": " + (late ? "no answer in time" : std::strerror(errno))};
}

/// Blocks for as long as the socket's own time limits allow.
void write_all(int fd, const void* data, std::size_t bytes) {
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
        const ssize_t written = send(fd, at, bytes, MSG_NOSIGNAL);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) throw socket_error("writing to a process of the run");
        at += written;
        bytes -= static_cast<std::size_t>(written);
    }
}

void read_all(int fd, void* data, std::size_t bytes) {
    auto* at = static_cast<char*>(data);
    while (bytes > 0) {
        const ssize_t got = recv(fd, at, bytes, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got == 0) throw Error{Errc::disconnected, "a process of the run ended while it started"};
        if (got < 0) throw socket_error("reading from a process of the run");
        at += got;
        bytes -= static_cast<std::size_t>(got);
    }
}

void write_message(int fd, const std::string& text) {
    const auto length = static_cast<std::uint32_t>(text.size());
    write_all(fd, &length, sizeof length);
    write_all(fd, text.data(), text.size());
}

[[nodiscard]] std::string read_message(int fd) {
    std::uint32_t length = 0;
    read_all(fd, &length, sizeof length);
    if (length > longest_message) throw Error{Errc::disconnected, "a process of the run sent an impossible length"};
    std::string text(length, '\0');
    read_all(fd, text.data(), length);
    return text;
}

void set_time_limit(int fd, std::chrono::milliseconds limit) {
    const timeval value{.tv_sec = limit.count() / 1000, .tv_usec = (limit.count() % 1000) * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof value);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &value, sizeof value);
}

/// The exchange as a child sees it: all of it goes through the coordinator.
class ChildBootstrap final : public Bootstrap {
public:
    ChildBootstrap(Rank rank, Rank size, int socket) noexcept : rank_{rank}, size_{size}, socket_{socket} {}
    [[nodiscard]] Rank rank() const noexcept override { return rank_; }
    [[nodiscard]] Rank size() const noexcept override { return size_; }
    [[nodiscard]] std::vector<std::string> allgather(const std::string& mine) override {
        write_message(socket_, mine);
        std::vector<std::string> all(size_);
        for (std::string& text : all) text = read_message(socket_);
        return all;
    }

private:
    Rank rank_;
    Rank size_;
    int socket_;
};

/// What a child's body lets escape must not unwind into what the parent was doing when it forked.
[[nodiscard]] int guarded(const std::function<int()>& body) noexcept {
    try {
        return body();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "penstock: %s\n", error.what());
    } catch (...) {
        std::fputs("penstock: something that is no std::exception was thrown\n", stderr);
    }
    return exit_code(Errc::internal);
}

[[noreturn]] void leave(int code) {
    std::fflush(nullptr);
#ifdef PENSTOCK_COVERAGE
    __gcov_dump();
#endif
    _exit(code);  // what the parent registered to run at exit is the parent's
}

}  // namespace

/// A rank that is a thread of this process.
struct LocalProcesses::Thread {
    File socket;
    std::atomic<int> exit_code{-1};  ///< Not negative once it has ended.
    std::thread thread;
};

LocalProcesses::LocalProcesses(Rank ranks, std::chrono::milliseconds timeout, std::function<std::string(Rank)> label,
                               const std::function<int(Rank, Bootstrap&)>& body, const LocalThreads& threads)
    : timeout_{timeout}, label_{std::move(label)}, abandon_{threads.abandon} {
    const pid_t parent = getpid();
    std::fflush(nullptr);
    sigset_t stop_signals{};
    sigset_t before{};
    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGINT);
    sigaddset(&stop_signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &stop_signals, &before);
    const auto deadline = SteadyClock::now() + timeout_;
    for (Rank rank = 1; rank < ranks; ++rank) {
        sigset_t pending{};
        const bool is_stopped =
            sigpending(&pending) == 0 && (sigismember(&pending, SIGINT) == 1 || sigismember(&pending, SIGTERM) == 1);
        if (is_stopped || SteadyClock::now() > deadline) {
            const std::string made = std::to_string(rank - 1) + " of " + std::to_string(ranks - 1) + " processes";
            reap(std::chrono::milliseconds{0});
            pthread_sigmask(SIG_SETMASK, &before, nullptr);  // a signal ends the program here
            throw Error{Errc::timed_out, "only " + made + " could be started in " + format_duration(timeout_) +
                                             "; ask for fewer instances or raise --start-timeout"};
        }
        std::array<int, 2> ends{};
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            reap(std::chrono::milliseconds{0});
            throw Error{Errc::exhausted,
                        "no socket for " + label_(rank) + ": " + std::strerror(errno) + "; raise 'ulimit -n'"};
        }
        Child child;
        child.socket = File{ends[0]};
        File theirs{ends[1]};
        set_time_limit(ends[0], timeout_);
        set_time_limit(ends[1], timeout_);
        if (std::find(threads.ranks.begin(), threads.ranks.end(), rank) != threads.ranks.end()) {
            child.thread = std::make_unique<Thread>();
            child.thread->socket = std::move(theirs);
            children_.push_back(std::move(child));
            continue;
        }
        child.pid = fork();
        if (child.pid < 0) {
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            const int why = errno;
            reap(std::chrono::milliseconds{0});
            throw Error{Errc::exhausted,
                        "no process for " + label_(rank) + ": " + std::strerror(why) + "; raise 'ulimit -u'"};
        }
        if (child.pid == 0) {
            // Whatever happens to the coordinator, nobody is left behind.
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent) _exit(exit_code(Errc::disconnected));
            prctl(PR_SET_NAME, label_(rank).substr(0, 15).c_str());
            std::signal(SIGINT, SIG_IGN);  // the coordinator takes it for all of us
            pthread_sigmask(SIG_SETMASK, &before, nullptr);
            for (Child& sibling : children_) {
                sibling.socket = File{};
                if (sibling.thread) sibling.thread->socket = File{};
            }
            child.socket = File{};
            ChildBootstrap bootstrap{rank, ranks, theirs.get()};
            leave(guarded([&] { return body(rank, bootstrap); }));
        }
        children_.push_back(std::move(child));
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    for (const Rank rank : threads.ranks) start_thread(rank, body);
}

void LocalProcesses::start_thread(Rank rank, const std::function<int(Rank, Bootstrap&)>& body) {
    Thread& held = *children_[rank - 1].thread;
    const auto run = [&held, rank, ranks = size(), body, name = label_(rank).substr(0, 15)] {
        prctl(PR_SET_NAME, name.c_str());
        // A signal to this process is for its other threads.
        sigset_t all{};
        sigfillset(&all);
        pthread_sigmask(SIG_BLOCK, &all, nullptr);
        ChildBootstrap bootstrap{rank, ranks, held.socket.get()};
        held.exit_code = guarded([&] { return body(rank, bootstrap); });
    };
    try {
        held.thread = std::thread{run};
    } catch (const std::system_error& error) {
        reap(std::chrono::milliseconds{0});
        throw Error{Errc::exhausted, "no thread for " + label_(rank) + ": " + error.what() + "; raise 'ulimit -u'"};
    }
}

LocalProcesses::~LocalProcesses() {
    reap(std::chrono::milliseconds{0});
}

std::vector<std::string> LocalProcesses::allgather(const std::string& mine) {
    std::vector<std::string> all{mine};
    const auto with_each = [&](const auto& exchange) {
        for (Rank rank = 1; rank < size(); ++rank) {
            with_context([&] { return "starting " + label_(rank) + " (rank " + std::to_string(rank) + ")"; },
                         [&] { exchange(children_[rank - 1].socket.get()); });
        }
    };
    with_each([&](int socket) { all.push_back(read_message(socket)); });
    with_each([&](int socket) {
        for (const std::string& text : all) write_message(socket, text);
    });
    return all;
}

bool LocalProcesses::collect(Child& child, int& status) noexcept {
    if (child.ended) return false;
    if (child.thread) {
        const int code = child.thread->exit_code;
        if (code < 0 && child.thread->thread.joinable()) return false;
        child.ended = true;
        status = W_EXITCODE(code & 0xFF, 0);
        return true;
    }
    const pid_t got = waitpid(child.pid, &status, WNOHANG);
    child.ended = got == child.pid || (got < 0 && errno == ECHILD);
    return got == child.pid;
}

std::vector<Supervisor::Lost> LocalProcesses::lost() {
    std::vector<Lost> lost;
    for (std::size_t i = 0; i < children_.size(); ++i) {
        int status = 0;
        if (!collect(children_[i], status)) continue;
        std::string how = "ended with exit code " + std::to_string(WEXITSTATUS(status));
        if (WIFSIGNALED(status)) {
            const int signal = WTERMSIG(status);
            how = "was killed by signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
        }
        lost.push_back({static_cast<Rank>(i + 1), std::move(how)});
    }
    return lost;
}

int LocalProcesses::reap(std::chrono::milliseconds patience) {
    const auto deadline = SteadyClock::now() + patience;
    int killed = 0;
    const auto all_ended = [&] {
        bool all = true;
        for (Child& child : children_) {
            int status = 0;
            static_cast<void>(collect(child, status));
            all = all && child.ended;
        }
        return all;
    };
    while (!all_ended() && SteadyClock::now() < deadline) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    if (abandon_ != nullptr && !all_ended()) abandon_->store(true);
    for (Child& child : children_) {
        if (child.thread) {
            child.socket = File{};  // it may be waiting there
            if (child.thread->thread.joinable()) child.thread->thread.join();
            child.ended = true;
        }
        if (child.ended) continue;
        ++killed;
        kill(child.pid, SIGKILL);
        int status = 0;
        while (waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
        }
        child.ended = true;
    }
    return killed;
}

}  // namespace penstock
