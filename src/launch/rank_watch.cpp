#include "launch/rank_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>

#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/deadline.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

/// For each address of rank 0's host that a rank tries. All lie in one cluster.
constexpr std::chrono::milliseconds longest_connect = 1s;
constexpr std::chrono::milliseconds longest_greeting = 2s;
constexpr std::chrono::milliseconds longest_start = 10s;
constexpr std::size_t most_addresses = 4;
constexpr std::size_t secret_bytes = 16;

/// Where ranks of other nodes find rank 0, and what proves that they are of this job.
struct Meeting {
    std::uint16_t port = 0;  ///< 0: nowhere.
    std::string secret = {};
    std::vector<std::string> addresses = {};

    [[nodiscard]] std::string encode() const {
        std::string text = std::to_string(port) + " " + (secret.empty() ? "-" : secret);
        for (const std::string& address : addresses) text += " " + address;
        return text;
    }
    [[nodiscard]] static Meeting decode(const std::string& text) {
        std::vector<std::string> words;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t end = std::min(text.find(' ', at), text.size());
            words.push_back(text.substr(at, end - at));
            at = end + 1;
        }
        Meeting meeting;
        if (words.size() < 3) return meeting;
        std::from_chars(words[0].data(), words[0].data() + words[0].size(), meeting.port);
        meeting.secret = words[1];
        meeting.addresses.assign(words.begin() + 2, words.end());
        return meeting;
    }
};

[[nodiscard]] std::string random_hex() {
    std::array<unsigned char, secret_bytes> bytes{};
    if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) return {};
    std::string text;
    for (const unsigned char byte : bytes) {
        constexpr std::string_view digits = "0123456789abcdef";
        text += digits[byte >> 4U];
        text += digits[byte & 15U];
    }
    return text;
}

[[nodiscard]] std::vector<std::string> addresses_here() {
    std::vector<std::string> addresses;
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) return addresses;
    for (const ifaddrs* at = list; at != nullptr && addresses.size() < most_addresses; at = at->ifa_next) {
        if (at->ifa_addr == nullptr || at->ifa_addr->sa_family != AF_INET || (at->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        sockaddr_in address{};
        std::memcpy(&address, at->ifa_addr, sizeof address);
        std::array<char, INET_ADDRSTRLEN> text{};
        inet_ntop(AF_INET, &address.sin_addr, text.data(), text.size());
        addresses.emplace_back(text.data());
    }
    freeifaddrs(list);
    return addresses;
}

[[nodiscard]] File listen_here(std::uint16_t& port) {
    File listener{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    socklen_t size = sizeof address;
    constexpr int most_waiting = 4096;
    if (!listener || bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(listener.get(), most_waiting) != 0 ||
        getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        return {};
    }
    port = ntohs(address.sin_port);
    return listener;
}

[[nodiscard]] bool is_ready(const File& file, short events, std::chrono::milliseconds timeout) {
    pollfd entry{.fd = file.get(), .events = events, .revents = 0};
    int ready = 0;
    do {
        ready = ::poll(&entry, 1, static_cast<int>(timeout.count()));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

[[nodiscard]] File connect_to(const std::string& host, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    File line{socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (!line || inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return {};
    if (connect(line.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        int failed = 0;
        socklen_t size = sizeof failed;
        if (errno != EINPROGRESS || !is_ready(line, POLLOUT, longest_connect) ||
            getsockopt(line.get(), SOL_SOCKET, SO_ERROR, &failed, &size) != 0 || failed != 0) {
            return {};
        }
    }
    return line;
}

/// The number of the rank, in as many digits for all.
[[nodiscard]] std::string greeting_of(const std::string& secret, Rank rank) {
    std::string digits = std::to_string(rank);
    return secret + std::string(10 - digits.size(), '0') + digits;
}

/// One end of a connection to rank 0; nothing if none of its addresses answers.
[[nodiscard]] File greet(const Meeting& meeting, Rank rank) {
    for (const std::string& address : meeting.addresses) {
        File line = connect_to(address, meeting.port);
        const std::string greeting = greeting_of(meeting.secret, rank);
        if (line &&
            send(line.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(greeting.size())) {
            return line;
        }
    }
    return {};
}

/// The rank that has greeted; nothing for a stranger, and for one that is too slow.
[[nodiscard]] std::optional<Rank> greeted(const File& line, const std::string& secret) {
    std::string greeting(secret.size() + 10, '\0');
    std::size_t got = 0;
    const auto deadline = deadline_in(longest_greeting);
    while (got < greeting.size()) {
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
        if (left <= 0ms || !is_ready(line, POLLIN, left)) return std::nullopt;
        const ssize_t more = recv(line.get(), greeting.data() + got, greeting.size() - got, 0);
        if (more <= 0) return std::nullopt;
        got += static_cast<std::size_t>(more);
    }
    Rank rank = 0;
    std::from_chars(greeting.data() + secret.size(), greeting.data() + greeting.size(), rank);
    if (greeting != greeting_of(secret, rank)) return std::nullopt;
    return rank;
}

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
        listener = listen_here(meeting.port);
        meeting.secret = random_hex();
        meeting.addresses = addresses_here();
        if (!listener || meeting.secret.empty()) meeting = {};
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
        File line = meeting.port != 0 ? greet(meeting, self) : File{};
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
    while (expected > 0 && SteadyClock::now() < deadline && is_ready(listener, POLLIN, longest_greeting)) {
        File other{accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        if (!other) continue;
        const auto rank = greeted(other, meeting.secret);
        if (!rank || *rank == 0 || *rank >= all.size()) continue;
        keep_asking(other);
        watched_.push_back({*rank, other.get(), true});
        lines.push_back(std::move(other));
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
