#include "launch/meeting.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/deadline.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

/// For each address of rank 0's host that a rank tries. All lie in one cluster.
constexpr std::chrono::milliseconds longest_connect = 1s;
constexpr std::size_t most_comers = 256;
constexpr std::size_t most_addresses = 4;
constexpr std::size_t secret_bytes = 16;

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

/// The kernel holds a second small message back until the first one is acknowledged, which the other side does after 40
/// ms: a second for each start.
void send_at_once(const File& line) {
    const int on = 1;
    setsockopt(line.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

bool is_ready(const File& file, short events, std::chrono::milliseconds timeout) {
    pollfd entry{.fd = file.get(), .events = events, .revents = 0};
    int ready = 0;
    do {
        ready = ::poll(&entry, 1, static_cast<int>(timeout.count()));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

File Meeting::call() {
    File listener = listen_here(port);
    secret = random_hex();
    addresses = addresses_here();
    if (!listener || secret.empty()) *this = {};
    return listener;
}

std::string Meeting::encode() const {
    std::string text = std::to_string(port) + " " + (secret.empty() ? "-" : secret);
    for (const std::string& address : addresses) text += " " + address;
    return text;
}

Meeting Meeting::decode(const std::string& text) {
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

File Meeting::greet(Rank rank) const {
    if (port == 0) return {};
    const std::string greeting = greeting_of(secret, rank);
    for (const std::string& address : addresses) {
        File line = connect_to(address, port);
        if (line) send_at_once(line);
        if (line &&
            send(line.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(greeting.size())) {
            return line;
        }
    }
    return {};
}

std::optional<Door::Guest> Door::next(std::chrono::milliseconds timeout) {
    const auto deadline = deadline_in(timeout);
    while (true) {
        std::vector<pollfd> entries{{.fd = listener_.get(), .events = POLLIN, .revents = 0}};
        for (const Comer& comer : comers_) {
            entries.push_back({.fd = comer.line.get(), .events = POLLIN, .revents = 0});
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
        const int ready =
            ::poll(entries.data(), entries.size(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready == 0) return std::nullopt;
        if (ready < 0) {
            if (errno == EINTR) continue;
            return std::nullopt;
        }
        for (std::size_t i = comers_.size(); i-- > 0;) {
            if (entries[i + 1].revents == 0) continue;
            auto guest = hear(comers_[i]);
            if (guest || !comers_[i].line) comers_.erase(comers_.begin() + static_cast<std::ptrdiff_t>(i));
            if (guest) return guest;
        }
        if (entries[0].revents != 0) let_come();
    }
}

void Door::let_come() {
    File line{accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!line) return;
    if (comers_.size() == most_comers) comers_.pop_front();  // it has had its time: ranks greet at once
    comers_.push_back({.line = std::move(line), .said = {}});
}

/// Takes what has come. A comer without a line is turned away.
std::optional<Door::Guest> Door::hear(Comer& comer) const {
    std::string greeting = greeting_of(meeting_.secret, 0);
    std::string& said = comer.said;
    const std::size_t before = said.size();
    said.resize(greeting.size());
    const ssize_t more = recv(comer.line.get(), said.data() + before, said.size() - before, 0);
    said.resize(before + static_cast<std::size_t>(std::max<ssize_t>(more, 0)));
    if (more < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    if (more > 0 && said.size() < greeting.size()) return std::nullopt;
    Rank rank = 0;
    if (more > 0) {
        std::from_chars(said.data() + meeting_.secret.size(), said.data() + said.size(), rank);
        greeting = greeting_of(meeting_.secret, rank);
    }
    if (said != greeting) {
        comer.line = {};
        return std::nullopt;
    }
    send_at_once(comer.line);
    return Guest{rank, std::move(comer.line)};
}

}  // namespace penstock
