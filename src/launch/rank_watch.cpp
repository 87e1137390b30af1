#include "launch/rank_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/deadline.hpp"
#include "launch/meeting.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds longest_start = 10s;

/// Lets the kernel find out about a host that is silent: 10 s after the last word, then each 5 s for half a minute.
void keep_asking(const File& line) {
    const auto set = [&](int level, int option, int value) {
        setsockopt(line.get(), level, option, &value, sizeof value);
    };
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
    set(IPPROTO_TCP, TCP_KEEPCNT, 6);
}

/// What has become of the other end.
[[nodiscard]] std::string end_of(int line) {
    std::array<char, 64> unasked{};
    const ssize_t got = recv(line, unasked.data(), unasked.size(), MSG_DONTWAIT);
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))) return {};
    if (got < 0 && errno != ECONNRESET)
        return std::string{"is gone: its host does not answer ("} + std::strerror(errno) + ")";
    return "is gone: its process ended without a word";
}

}  // namespace

RankWatch::RankWatch(Bootstrap& bootstrap, std::vector<File>& lines, std::function<void()> on_orphaned,
                     const std::string& place) {
    const Rank self = bootstrap.rank();
    Meeting meeting;
    File listener;
    if (self == 0) {
        listener = meeting.call();
    }
    const auto all = bootstrap.allgather(place + "\n" + std::to_string(getpid()) + "\n" + meeting.encode());
    const auto part = [&](Rank rank, int number) {
        std::size_t at = 0;
        for (int i = 0; i < number; ++i) at = all[rank].find('\n', at) + 1;
        return all[rank].substr(at, all[rank].find('\n', at) - at);
    };
    const auto is_elsewhere = [&](Rank rank) { return place == "unknown" || part(rank, 0) != part(0, 0); };
    const auto process_of = [&](Rank rank) {
        return File{static_cast<int>(syscall(SYS_pidfd_open, std::atoi(part(rank, 1).c_str()), 0U))};
    };

    if (self != 0 && is_elsewhere(self)) {
        meeting = Meeting::decode(part(0, 2));
        File line = meeting.greet(self);
        if (line) {
            keep_asking(line);
            lines.push_back(std::move(line));
        }
    }
    // Who could connect has done so after this.
    const auto connected = bootstrap.allgather(lines.empty() ? "no" : "yes");
    if (self != 0) {
        if (!is_elsewhere(self)) processes_.push_back(process_of(0));
        const int first = !lines.empty() ? lines.front().get() : processes_.empty() ? -1 : processes_.front().get();
        if (first >= 0) watch_first(first, std::move(on_orphaned));
        return;
    }
    for (Rank rank = 1; rank < all.size(); ++rank) {
        if (is_elsewhere(rank)) continue;
        processes_.push_back(process_of(rank));
        if (processes_.back()) watched_.push_back({rank, processes_.back().get(), false});
    }
    auto expected = std::ranges::count(connected, std::string{"yes"});
    const auto deadline = deadline_in(longest_start);
    while (expected > 0 && SteadyClock::now() < deadline && is_ready(listener, POLLIN, longest_start)) {
        auto guest = meeting.receive(listener);
        if (!guest || guest->rank == 0 || guest->rank >= all.size()) continue;
        keep_asking(guest->line);
        watched_.push_back({guest->rank, guest->line.get(), true});
        lines.push_back(std::move(guest->line));
        --expected;
    }
}

RankWatch::~RankWatch() {
    if (!orphan_watch_.joinable()) return;
    const std::uint64_t one = 1;
    static_cast<void>(!write(stop_.get(), &one, sizeof one));
    orphan_watch_.join();
}

void RankWatch::watch_first(int file, std::function<void()> on_orphaned) {
    stop_ = File{eventfd(0, EFD_CLOEXEC)};
    if (!stop_) return;
    // Signals are for the thread that runs the instance.
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    orphan_watch_ = std::thread{[file, stop = stop_.get(), on_orphaned = std::move(on_orphaned)] {
        std::array<pollfd, 2> entries{pollfd{.fd = stop, .events = POLLIN, .revents = 0},
                                      pollfd{.fd = file, .events = POLLIN, .revents = 0}};
        while (::poll(entries.data(), entries.size(), -1) < 0) {
        }
        if (entries[0].revents == 0) on_orphaned();
    }};
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

std::vector<Supervisor::Lost> RankWatch::lost() {
    std::vector<Lost> lost;
    std::vector<pollfd> entries;
    for (const Watched& each : watched_) entries.push_back({.fd = each.file, .events = POLLIN, .revents = 0});
    if (entries.empty() || ::poll(entries.data(), entries.size(), 0) <= 0) return lost;
    for (std::size_t i = 0; i < watched_.size(); ++i) {
        if (entries[i].revents == 0) continue;
        const std::string how =
            watched_[i].is_elsewhere ? end_of(watched_[i].file) : "is gone: its process ended without a word";
        if (how.empty()) continue;
        lost.push_back({watched_[i].rank, how});
        watched_[i].rank = 0;
    }
    std::erase_if(watched_, [](const Watched& each) { return each.rank == 0; });
    return lost;
}

std::string RankWatch::process_space() {
    std::array<char, 64> space{};
    if (readlink("/proc/self/ns/pid", space.data(), space.size() - 1) < 0) return "unknown";
    std::array<char, 64> boot{};
    const File file{open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC)};
    if (!file || read(file.get(), boot.data(), boot.size() - 1) < 0) return "unknown";
    std::string text = std::string{space.data()} + boot.data();
    std::erase(text, '\n');
    return text;
}

}  // namespace penstock
