#include "transports/sleeper.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <penstock/error.hpp>

namespace penstock {

Sleeper::Sleeper() : wake_{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)} {
    if (!wake_) throw Error{Errc::exhausted, std::string{"eventfd: "} + std::strerror(errno) + "; raise 'ulimit -n'"};
}

void Sleeper::wake() noexcept {
    woken_.store(true, std::memory_order_relaxed);
    const int saved = errno;
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_.get(), &one, sizeof one);
    errno = saved;
}

void Sleeper::sleep(std::chrono::nanoseconds timeout, std::span<const int> descriptors) {
    std::array<pollfd, most_descriptors + 1> watched{{{wake_.get(), POLLIN, 0}}};
    nfds_t count = 1;
    for (const int descriptor : descriptors) {
        if (descriptor >= 0 && count < watched.size()) watched[count++] = {descriptor, POLLIN, 0};
    }
    const timespec limit{.tv_sec = static_cast<std::time_t>(timeout.count() / 1'000'000'000),
                         .tv_nsec = static_cast<long>(timeout.count() % 1'000'000'000)};
    static_cast<void>(ppoll(watched.data(), count, &limit, nullptr));
    if ((watched[0].revents & POLLIN) == 0) return;
    std::uint64_t rung = 0;
    [[maybe_unused]] const auto got = read(wake_.get(), &rung, sizeof rung);
    woken_.store(false, std::memory_order_relaxed);
}

}  // namespace penstock
