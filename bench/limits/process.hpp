#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <utility>

#include <sys/types.h>

namespace penstock::bench {

/// Memory that forked children see too: anonymous, so that nothing of it outlives the processes.
class SharedMemory {
public:
    /// Zeroed, and touched once by the caller.
    /// @throws std::runtime_error if there is not enough memory.
    explicit SharedMemory(std::size_t size_bytes);
    SharedMemory(SharedMemory&& other) noexcept : bytes_{std::exchange(other.bytes_, {})} {}
    SharedMemory& operator=(SharedMemory&& other) noexcept {
        std::swap(bytes_, other.bytes_);
        return *this;
    }
    ~SharedMemory();

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

    /// Maps the pages into the calling process, so that no page fault falls into a measurement.
    void touch() const noexcept;

private:
    std::span<std::byte> bytes_;
};

/// A forked process that runs one function and dies with its parent.
/// Start it before the calling process has threads: only the calling thread is copied.
class Child {
public:
    /// An exception leaving `body` is printed to stderr and becomes exit code 1.
    /// @throws std::runtime_error if the process cannot be started.
    explicit Child(const std::function<void()>& body);
    Child(Child&& other) noexcept
        : pid_{std::exchange(other.pid_, -1)},
          status_{other.status_},
          is_running_{std::exchange(other.is_running_, false)} {}
    Child& operator=(Child&& other) noexcept {
        std::swap(pid_, other.pid_);
        std::swap(status_, other.status_);
        std::swap(is_running_, other.is_running_);
        return *this;
    }
    /// Kills what still runs.
    ~Child();

    [[nodiscard]] pid_t pid() const noexcept { return pid_; }

    /// Asks once, without waiting.
    [[nodiscard]] bool is_running() noexcept;

    /// Only after `is_running` said no.
    [[nodiscard]] bool has_succeeded() const noexcept { return !is_running_ && status_ == 0; }

    /// Sends the signal; SIGKILL follows if the process is still there after `grace_ms`.
    void stop(int signal, int grace_ms) noexcept;

private:
    pid_t pid_ = -1;
    int status_ = 0;
    bool is_running_ = false;
};

}  // namespace penstock::bench
