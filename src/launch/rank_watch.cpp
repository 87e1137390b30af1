#include "launch/rank_watch.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/deadline.hpp"
#include "base/format.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds longest_start = 10s;
// The kernel counts seconds, up to 32767.
constexpr std::chrono::milliseconds shortest_silence = 2s;
constexpr std::chrono::milliseconds longest_silence = 24h;
/// Where packets are thrown away on the quiet, each connection takes its time to fail.
constexpr std::chrono::milliseconds longest_link_connects = 2s;

enum class Ended { not_yet, gone, silent };

/// What has become of the other end. @param said  Gets what it has sent.
[[nodiscard]] Ended end_of(int line, std::string& said) {
    std::array<char, 256> bytes{};
    const ssize_t got = recv(line, bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got > 0) said.assign(bytes.data(), static_cast<std::size_t>(got));
    if (got > 0 || (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))) return Ended::not_yet;
    return got == 0 || errno == ECONNRESET || errno == EPIPE ? Ended::gone : Ended::silent;
}

[[nodiscard]] int number_in(std::string_view text) noexcept {
    int number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

/// Calls it with each word, without the blanks and ends of lines between them.
template <class Act>
void for_each_word(std::string_view text, const Act& act) {
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find_first_of(" \n", at), text.size());
        if (end > at) act(text.substr(at, end - at));
        at = end + 1;
    }
}

}  // namespace

RankWatch::RankWatch(const Setup& setup)
    : plan_{setup.plan},
      silence_{setup.silence.count() > 0 ? std::clamp(setup.silence, shortest_silence, longest_silence) : 0ms},
      self_{setup.bootstrap.rank()},
      members_(setup.bootstrap.size()) {
    Bootstrap& bootstrap = setup.bootstrap;
    const auto all = bootstrap.allgather(setup.place + "\n" + setup.host + "\n" + std::to_string(getpid()));
    for (Rank rank = 0; rank < all.size(); ++rank) {
        const std::size_t place = all[rank].find('\n');
        const std::size_t host = all[rank].find('\n', place + 1);
        members_[rank] = {.place = all[rank].substr(0, place),
                          .host = all[rank].substr(place + 1, host - place - 1),
                          .pid = number_in(std::string_view{all[rank]}.substr(host + 1))};
    }
    links_.emplace(plan_, hosts());
    const std::vector<Rank> peers = silence_.count() > 0 ? links_->watched_by(self_) : std::vector<Rank>{};

    bool expects = std::ranges::any_of(peers, [&](Rank peer) { return peer > self_; });
    for (Rank rank = 1; self_ == 0 && rank < members_.size(); ++rank) expects = expects || is_elsewhere(rank);
    Meeting meeting;
    File listener;
    if (expects) listener = meeting.call();
    const auto doors = bootstrap.allgather(meeting.encode());
    std::string reached;
    for (const Rank rank : connect(setup, peers, doors)) reached += std::to_string(rank) + " ";
    // Who could connect has done so after this.
    const auto connected = bootstrap.allgather(reached);
    std::size_t expected = 0;
    for (const std::string& each : connected) {
        for_each_word(each,
                      [&](std::string_view word) { expected += number_in(word) == static_cast<int>(self_) ? 1U : 0U; });
    }
    for (Rank rank = 0; rank < members_.size(); ++rank) {
        if (rank == self_ || is_elsewhere(rank) || is_elsewhere(self_) || (rank != 0 && self_ != 0)) continue;
        processes_.emplace_back(static_cast<int>(syscall(SYS_pidfd_open, members_[rank].pid, 0U)));
        if (processes_.back()) watched_.push_back({rank, processes_.back().get(), false});
    }
    accept(setup, meeting, listener, expected);
    if (self_ == 0) {
        list_unwatched(connected);
    } else {
        start_watch([this, on_orphaned = setup.on_orphaned] { watch_run(on_orphaned); });
    }
}

RankWatch::~RankWatch() {
    stop_watch();
}

/// Than rank 0.
bool RankWatch::is_elsewhere(Rank rank) const {
    return members_[0].place == "unknown" || members_[rank].place != members_[0].place;
}

std::vector<std::string> RankWatch::hosts() const {
    std::vector<std::string> hosts;
    for (const Member& each : members_) hosts.push_back(each.place == "unknown" ? "host " + each.host : each.place);
    return hosts;
}

/// To rank 0, and to those that are to be watched and have a lower number. @return who could be reached.
std::vector<Rank> RankWatch::connect(const Setup& setup, const std::vector<Rank>& peers,
                                     const std::vector<std::string>& doors) {
    std::vector<Rank> reached;
    if (self_ == 0 || !is_elsewhere(self_)) return reached;
    const auto reach = [&](Rank rank) {
        File line = Meeting::decode(doors[rank]).greet(self_);
        if (!line) return;
        keep_asking(line);
        watched_.push_back({rank, line.get(), true});
        setup.lines.push_back(std::move(line));
        reached.push_back(rank);
    };
    reach(0);
    if (reached.empty()) return reached;  // nobody could be told of a link
    const auto deadline = deadline_in(longest_link_connects);
    for (const Rank peer : peers) {
        if (peer < self_ && SteadyClock::now() < deadline) reach(peer);
    }
    return reached;
}

void RankWatch::accept(const Setup& setup, const Meeting& meeting, const File& listener, std::size_t expected) {
    if (expected == 0) return;
    const auto deadline = deadline_in(longest_start);
    Door door{meeting, listener};
    while (expected > 0) {
        auto guest = door.next(std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now()));
        if (!guest) return;
        if (guest->rank == self_ || guest->rank >= members_.size()) continue;
        keep_asking(guest->line);
        watched_.push_back({guest->rank, guest->line.get(), true});
        setup.lines.push_back(std::move(guest->line));
        --expected;
    }
}

/// The kernel asks for a sign of life after a quarter of the time and then again and again, and gives the connection up
/// when the time is over. The other kernel answers; nothing wakes a process here or there.
void RankWatch::keep_asking(const File& line) const {
    if (silence_.count() <= 0) return;
    const auto seconds = static_cast<int>(silence_.count() / 1000);
    const auto set = [&](int level, int option, int value) {
        setsockopt(line.get(), level, option, &value, sizeof value);
    };
    set(SOL_SOCKET, SO_KEEPALIVE, 1);
    set(IPPROTO_TCP, TCP_KEEPIDLE, std::max(seconds / 4, 1));
    set(IPPROTO_TCP, TCP_KEEPINTVL, std::max(seconds / 16, 1));
    set(IPPROTO_TCP, TCP_USER_TIMEOUT, static_cast<int>(silence_.count()));
}

void RankWatch::list_unwatched(const std::vector<std::string>& connected) {
    std::vector<std::string> missing;
    for (Rank rank = 1; rank < members_.size(); ++rank) {
        std::vector<int> reached;
        for_each_word(connected[rank], [&](std::string_view word) { reached.push_back(number_in(word)); });
        const auto reaches = [&](Rank other) { return std::ranges::count(reached, static_cast<int>(other)) != 0; };
        if (is_elsewhere(rank) && !reaches(0)) missing.push_back(name(rank) + " and " + name(0));
        if (silence_.count() <= 0) continue;
        for (const Rank peer : links_->watched_by(rank)) {
            if (peer < rank && !reaches(peer)) missing.push_back(name(rank) + " and " + name(peer));
        }
    }
    if (missing.empty()) return;
    constexpr std::size_t most_named = 4;
    unwatched_ = "no TCP connection could be made between " + missing.front();
    for (std::size_t i = 1; i < std::min(missing.size(), most_named); ++i) unwatched_ += ", " + missing[i];
    if (missing.size() > most_named)
        unwatched_ += ", and " + std::to_string(missing.size() - most_named) + " more pairs";
    unwatched_ += ": when a host or a link between them fails, only the transport may notice";
}

template <class Watch>
void RankWatch::start_watch(Watch watch) {
    stop_ = File{eventfd(0, EFD_CLOEXEC)};
    if (watched_.empty() || !stop_) return;
    // Signals are for the thread that runs the instance.
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    watch_ = std::thread{std::move(watch)};
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
}

void RankWatch::stop_watch() {
    if (!watch_.joinable()) return;
    const std::uint64_t one = 1;
    static_cast<void>(!write(stop_.get(), &one, sizeof one));
    watch_.join();
}

/// Tells rank 0 of links that are silent, until rank 0 itself is gone or silent, or it is to stop.
void RankWatch::watch_run(const std::function<void(const std::string&, bool)>& on_orphaned) const {
    std::vector<pollfd> entries{{.fd = stop_.get(), .events = POLLIN, .revents = 0}};
    for (const Watched& each : watched_) entries.push_back({.fd = each.file, .events = POLLIN, .revents = 0});
    const auto first = std::ranges::find(watched_, Rank{0}, &Watched::rank);
    while (::poll(entries.data(), entries.size(), -1) < 0 || entries[0].revents == 0) {
        for (std::size_t i = 0; i < watched_.size(); ++i) {
            const Watched& each = watched_[i];
            if (std::exchange(entries[i + 1].revents, short{0}) == 0) continue;
            std::string said;
            const Ended ended = each.is_elsewhere ? end_of(each.file, said) : Ended::gone;
            if (ended == Ended::not_yet) continue;
            if (each.rank == 0) {
                return on_orphaned(ended == Ended::gone ? "rank 0, which coordinates the run, is gone"
                                                        : plan_.label(0) + " (rank 0) " + silence_of(0, self_),
                                   ended == Ended::silent);
            }
            entries[i + 1].fd = -1;  // of a rank that is gone rank 0 knows
            if (ended == Ended::gone || first == watched_.end()) continue;
            const std::string report = std::to_string(each.rank) + "\n";
            static_cast<void>(!send(first->file, report.data(), report.size(), MSG_NOSIGNAL));
        }
    }
}

void RankWatch::watch_end(std::function<void(const std::string&)> on_silent) {
    stop_watch();
    start_watch([this, on_silent = std::move(on_silent)] {
        std::vector<pollfd> entries{{.fd = stop_.get(), .events = POLLIN, .revents = 0}};
        for (const Watched& each : watched_) {
            const bool counts = each.is_elsewhere && (self_ == 0 || each.rank == 0);
            entries.push_back({.fd = counts ? each.file : -1, .events = POLLIN, .revents = 0});
        }
        while (::poll(entries.data(), entries.size(), -1) < 0 || entries[0].revents == 0) {
            for (std::size_t i = 0; i < watched_.size(); ++i) {
                if (std::exchange(entries[i + 1].revents, short{0}) == 0) continue;
                std::string said;
                const Rank rank = watched_[i].rank;
                const Ended ended = end_of(watched_[i].file, said);
                if (ended == Ended::silent) {
                    return on_silent(plan_.label(rank) + " (rank " + std::to_string(rank) + ") " +
                                     silence_of(rank, self_));
                }
                if (ended == Ended::gone) entries[i + 1].fd = -1;
            }
        }
    });
}

std::vector<Supervisor::Lost> RankWatch::lost() {
    std::vector<Lost> lost;
    std::vector<pollfd> entries;
    for (const Watched& each : watched_) entries.push_back({.fd = each.file, .events = POLLIN, .revents = 0});
    if (entries.empty() || ::poll(entries.data(), entries.size(), 0) <= 0) return lost;
    for (std::size_t i = 0; i < watched_.size(); ++i) {
        if (entries[i].revents == 0) continue;
        Watched& each = watched_[i];
        std::string said;
        const Ended ended = each.is_elsewhere ? end_of(each.file, said) : Ended::gone;
        add_lost_links(each.rank, said, lost);
        if (ended == Ended::not_yet) continue;
        lost.push_back(
            {each.rank, ended == Ended::gone ? "is gone: its process ended without a word" : silence_of(each.rank, 0)});
        each.rank = 0;
        has_lost_some_ = true;
    }
    std::erase_if(watched_, [](const Watched& each) { return each.rank == 0; });
    return lost;
}

/// A rank says which other one is silent. Their hosts are, so all that pass payloads between these have lost each
/// other.
void RankWatch::add_lost_links(Rank reporter, std::string_view report, std::vector<Lost>& lost) const {
    for_each_word(report, [&](std::string_view word) {
        const int silent = number_in(word);
        if (silent <= 0 || static_cast<std::size_t>(silent) >= members_.size()) return;
        for (const auto& [one, other] : links_->between(reporter, static_cast<Rank>(silent))) {
            lost.push_back({other, silence_of(other, one), one});
        }
    });
}

/// "relay.1 (rank 3) on n2".
std::string RankWatch::name(Rank rank) const {
    return plan_.label(rank) + " (rank " + std::to_string(rank) + ") on " + members_[rank].host;
}

/// What follows the name of the one that is silent.
std::string RankWatch::silence_of(Rank silent, Rank seen_by) const {
    const std::string& host = members_[silent].host;
    return "on " + host + " has given no sign of life to " + name(seen_by) + " for " + format_duration(silence_) +
           ": the link between the hosts is cut, or " + host + " is down";
}

}  // namespace penstock
