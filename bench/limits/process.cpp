#include "limits/process.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <stdexcept>
#include <string>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace penstock::bench {
namespace {

constexpr std::size_t page_bytes = 4096;

[[noreturn]] void run_child(const std::function<void()>& body, pid_t parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGCHLD}) std::signal(signal, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    int code = 0;
    try {
        body();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        code = 1;
    }
    std::fflush(nullptr);
    _exit(code);
}

}  // namespace

SharedMemory::SharedMemory(std::size_t size_bytes) {
    void* address = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (address == MAP_FAILED) throw std::runtime_error{std::string{"no shared memory: "} + std::strerror(errno)};
    bytes_ = {static_cast<std::byte*>(address), size_bytes};
}

SharedMemory::~SharedMemory() {
    if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
}

void SharedMemory::touch() const noexcept {
    for (std::size_t at = 0; at < bytes_.size(); at += page_bytes) {
        static_cast<void>(*static_cast<volatile std::byte*>(&bytes_[at]));
    }
}

Child::Child(const std::function<void()>& body) {
    const pid_t parent = getpid();
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ < 0) throw std::runtime_error{std::string{"cannot start a process: "} + std::strerror(errno)};
    if (pid_ == 0) run_child(body, parent);
    is_running_ = true;
}

Child::~Child() {
    stop(SIGKILL, 0);
}

bool Child::is_running() noexcept {
    if (is_running_ && waitpid(pid_, &status_, WNOHANG) != 0) is_running_ = false;
    return is_running_;
}

void Child::stop(int signal, int grace_ms) noexcept {
    if (!is_running()) return;
    kill(pid_, signal);
    for (int waited_ms = 0; waited_ms < grace_ms; ++waited_ms) {
        if (!is_running()) return;
        const timespec millisecond{.tv_sec = 0, .tv_nsec = 1'000'000};
        nanosleep(&millisecond, nullptr);
    }
    if (!is_running()) return;
    kill(pid_, SIGKILL);
    // SIGKILL cannot be refused, so this wait ends.
    while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    is_running_ = false;
}

}  // namespace penstock::bench
