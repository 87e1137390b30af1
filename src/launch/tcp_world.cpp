#include "launch/tcp_world.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/deadline.hpp"
#include "base/quote.hpp"
#include "launch/meeting.hpp"
#include "launch/packed_texts.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds longest_welcome = 2s;
constexpr std::chrono::milliseconds look_period = 20ms;
constexpr char welcome = '+';
constexpr std::uint64_t leaving = ~std::uint64_t{0};  // in place of a text's length
constexpr std::uint64_t most_bytes = std::uint64_t{1} << 30U;
constexpr std::size_t most_ranks_named = 8;

[[nodiscard]] std::string_view variable(const char* name) noexcept {
    const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): nobody sets variables
    return text == nullptr ? std::string_view{} : text;
}

[[nodiscard]] std::optional<Rank> number(std::string_view text) noexcept {
    Rank value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
}

[[nodiscard]] std::chrono::milliseconds left_until(SteadyClock::time_point deadline) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - SteadyClock::now());
    return std::clamp<std::chrono::milliseconds>(left, 0ms, 1h);
}

/// @return false if the other end is gone or the time is up.
[[nodiscard]] bool send_bytes(const File& line, std::span<const char> bytes, SteadyClock::time_point deadline) {
    while (!bytes.empty()) {
        const ssize_t sent = send(line.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(sent));
        } else if (sent < 0 && errno == EAGAIN) {
            if (!is_ready(line, POLLOUT, left_until(deadline))) return false;
        } else if (sent == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

[[nodiscard]] bool receive_bytes(const File& line, std::span<char> bytes, SteadyClock::time_point deadline) {
    while (!bytes.empty()) {
        const ssize_t got = recv(line.get(), bytes.data(), bytes.size(), 0);
        if (got > 0) {
            bytes = bytes.subspan(static_cast<std::size_t>(got));
        } else if (got < 0 && errno == EAGAIN) {
            if (!is_ready(line, POLLIN, left_until(deadline))) return false;
        } else if (got == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

[[nodiscard]] bool receive_text(const File& line, std::string& text, SteadyClock::time_point deadline) {
    std::array<char, sizeof(std::uint64_t)> size;
    if (!receive_bytes(line, size, deadline)) return false;
    std::uint64_t bytes = 0;
    std::memcpy(&bytes, size.data(), sizeof bytes);
    if (bytes > most_bytes) return false;
    text.resize(bytes);
    return receive_bytes(line, text, deadline);
}

/// For its user alone from the start, and complete as soon as it is there.
void write_secret(const std::string& path, const std::string& text) {
    const std::string draft = path + ".new";
    unlink(draft.c_str());
    const File file{open(draft.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR)};
    if (!file || write(file.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
        rename(draft.c_str(), path.c_str()) != 0) {
        throw Error{Errc::invalid_input, "cannot leave word for the other ranks in " + path_in_quotes(path) + ": " +
                                             std::strerror(errno) +
                                             "; --runs-dir must be a folder that all nodes share"};
    }
}

/// Nothing while it is not there. @throws Error{invalid_input} if somebody else could have written it.
[[nodiscard]] std::string read_secret(const std::string& path) {
    const File file{open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)};
    struct stat facts {};
    if (!file || fstat(file.get(), &facts) != 0) return {};
    if (!S_ISREG(facts.st_mode) || facts.st_uid != geteuid() || (facts.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        throw Error{Errc::invalid_input,
                    path_in_quotes(path) + " is not a file that only this user may read and write; remove it"};
    }
    std::array<char, 1024> text;
    const ssize_t got = read(file.get(), text.data(), text.size());
    return got > 0 ? std::string{text.data(), static_cast<std::size_t>(got)} : std::string{};
}

}  // namespace

TcpPlace TcpPlace::from_environment(const std::string& folder) {
    TcpPlace place{.file = std::string{variable("PENSTOCK_RENDEZVOUS")}};
    const bool ours = !variable("PENSTOCK_RANK").empty();
    const auto rank = number(variable(ours ? "PENSTOCK_RANK" : "SLURM_PROCID"));
    const auto ranks = number(variable(ours ? "PENSTOCK_RANKS" : "SLURM_STEP_NUM_TASKS"));
    if (place.file.empty() && !ours && !variable("SLURM_JOB_ID").empty()) {
        place.file = folder + "/.rendezvous-" + std::string{variable("SLURM_JOB_ID")} + "." +
                     std::string{variable("SLURM_STEP_ID")};
    }
    if (!rank || !ranks || *rank >= *ranks || place.file.empty()) {
        throw Error{Errc::unsupported,
                    "--launch tcp needs to know its rank, of how many, and where to meet: start it with srun, or set "
                    "PENSTOCK_RANK, PENSTOCK_RANKS and PENSTOCK_RENDEZVOUS (a file that all ranks see)"};
    }
    place.rank = *rank;
    place.ranks = *ranks;
    return place;
}

TcpWorld::TcpWorld(const TcpPlace& place, std::chrono::milliseconds timeout)
    : timeout_{timeout}, rank_{place.rank}, size_{place.ranks} {
    if (rank_ == 0) {
        receive_all(place.file);
    } else {
        find_first(place.file);
    }
}

TcpWorld::~TcpWorld() {
    if (has_left_) return;
    static_cast<void>(all_leave(is_failing() ? failing_together : timeout_));
}

std::string TcpWorld::time_text() const {
    return std::to_string(timeout_.count()) + " ms";
}

void TcpWorld::receive_all(const std::string& file) {
    Meeting meeting;
    const File listener = meeting.call();
    if (!listener)
        throw Error{Errc::unsupported, "no TCP port can be opened here: " + std::string{std::strerror(errno)}};
    if (meeting.addresses.empty()) meeting.addresses.emplace_back("127.0.0.1");  // all are here, then
    if (const auto folder = std::filesystem::path{file}.parent_path(); !folder.empty()) {
        std::error_code ignored;
        std::filesystem::create_directories(folder, ignored);
    }
    write_secret(file, meeting.encode());
    lines_.resize(size_);
    const auto deadline = deadline_in(timeout_);
    Rank missing = size_ - 1;
    Door door{meeting, listener};
    while (missing != 0) {
        auto guest = door.next(left_until(deadline));
        if (!guest) break;
        if (guest->rank == 0 || guest->rank >= size_ || !send_bytes(guest->line, {&welcome, 1}, deadline)) continue;
        if (!lines_[guest->rank]) --missing;  // else it has come again: the welcome was late
        lines_[guest->rank] = std::move(guest->line);
    }
    unlink(file.c_str());
    if (missing == 0) return;
    std::string names;
    std::size_t named = 0;
    for (Rank rank = 1; rank < size_; ++rank) {
        if (lines_[rank] || named++ >= most_ranks_named) continue;
        names += (names.empty() ? "" : ", ") + std::to_string(rank);
    }
    if (named > most_ranks_named) names += " and " + std::to_string(named - most_ranks_named) + " more";
    throw Error{Errc::timed_out, (named == 1 ? "rank " : "ranks ") + names + " of " + std::to_string(size_) +
                                     " did not come to the rendezvous within " + time_text() +
                                     "; see their logs and hosts"};
}

void TcpWorld::find_first(const std::string& file) {
    const auto deadline = deadline_in(timeout_);
    bool has_seen = false;
    while (SteadyClock::now() < deadline) {
        const std::string text = read_secret(file);
        has_seen = has_seen || !text.empty();
        File line = Meeting::decode(text).greet(rank_);
        char answer = 0;
        // Nobody, or a stranger: the file may be one of a run before.
        if (line && receive_bytes(line, {&answer, 1}, std::min(deadline, deadline_in(longest_welcome))) &&
            answer == welcome) {
            lines_.push_back(std::move(line));
            return;
        }
        std::this_thread::sleep_for(look_period);
    }
    throw Error{Errc::timed_out, has_seen ? "rank 0 did not answer at the addresses in " + path_in_quotes(file) +
                                                " within " + time_text() +
                                                "; see its log, and whether the nodes reach each other"
                                          : "rank 0 did not leave word in " + path_in_quotes(file) + " within " +
                                                time_text() + "; see its log, and whether all nodes share that folder"};
}

std::vector<std::string> TcpWorld::allgather(const std::string& mine) {
    return gather(mine, timeout_);
}

std::vector<std::string> TcpWorld::gather(const std::string& mine, std::chrono::milliseconds timeout) {
    if (rank_ != 0) {
        // Rank 0 gives up first: it knows who is missing.
        const auto deadline = deadline_in(timeout + longest_welcome);
        std::string message;
        pack_text(message, mine);
        if (!send_bytes(lines_[0], message, deadline) || !receive_text(lines_[0], message, deadline))
            throw Error{Errc::disconnected, "rank 0 is gone, or did not answer within " + time_text()};
        auto all = unpack_texts(message, size_);
        if (!all) throw Error{Errc::disconnected, "rank 0 said something else than penstock does"};
        return std::move(*all);
    }
    std::vector<std::string> all(size_);
    const auto deadline = deadline_in(timeout);
    all[0] = mine;
    for (Rank rank = 1; rank < size_; ++rank) {
        if (receive_text(lines_[rank], all[rank], deadline)) continue;
        const bool is_late = SteadyClock::now() >= deadline;
        throw Error{is_late ? Errc::timed_out : Errc::disconnected,
                    "rank " + std::to_string(rank) + " of " + std::to_string(size_) +
                        (is_late ? " did not answer within " + time_text() : " is gone") + "; see its log and host"};
    }
    std::string message;
    pack_text(message, pack_texts(all));
    for (Rank rank = 1; rank < size_; ++rank) {
        // Who is gone is missed by whoever waits for it.
        static_cast<void>(send_bytes(lines_[rank], message, deadline));
    }
    return all;
}

bool TcpWorld::all_leave(std::chrono::milliseconds timeout) {
    has_left_ = true;
    // Not a text: who still waits for one learns that this rank is gone.
    std::array<char, sizeof leaving> word;
    std::memcpy(word.data(), &leaving, sizeof leaving);
    const auto deadline = deadline_in(timeout);
    bool all = true;
    const auto send_word = [&](const File& line) { all = line && send_bytes(line, word, deadline) && all; };
    const auto receive_word = [&](const File& line) {
        std::array<char, sizeof leaving> theirs{};
        all = line && receive_bytes(line, theirs, deadline) && theirs == word && all;
    };
    if (rank_ != 0) {
        for (const File& line : lines_) {
            send_word(line);
            receive_word(line);
        }
        return all;
    }
    for (Rank rank = 1; rank < lines_.size(); ++rank) receive_word(lines_[rank]);
    for (Rank rank = 1; rank < lines_.size(); ++rank) send_word(lines_[rank]);
    return all;
}

void TcpWorld::abort(int exit_code) noexcept {
    std::_Exit(exit_code);  // the others see that this process is gone
}

std::unique_ptr<JobWorld> join_tcp_job(std::chrono::milliseconds timeout, const std::string& folder) {
    return std::make_unique<TcpWorld>(TcpPlace::from_environment(folder), timeout);
}

}  // namespace penstock
