#include "launch/child_command.hpp"

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "base/system_error.hpp"
#include "memory/arena.hpp"

namespace penstock {
namespace {

[[nodiscard]] Error system_failure(const std::string& what, int reason) {
    return Error{errc_of(reason), what + ": " + std::strerror(reason)};
}

/// A stream of the child: a file in memory never fills up, so that nobody has to read while the child runs.
[[nodiscard]] File stream(const std::string& text = {}) {
    File file{memfd_create("penstock-command", MFD_CLOEXEC)};
    if (!file) throw system_failure("no memory for the streams of a command", errno);
    if (pwrite(file.get(), text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
        throw system_failure("no memory for the streams of a command", errno);
    return file;
}

[[nodiscard]] std::string contents(const File& file) {
    std::string text(static_cast<std::size_t>(std::max<off_t>(lseek(file.get(), 0, SEEK_END), 0)), '\0');
    const ssize_t size = pread(file.get(), text.data(), text.size(), 0);
    text.resize(size < 0 ? 0U : static_cast<std::size_t>(size));
    return text;
}

/// What posix_spawn needs to give a child its streams and the signals of a fresh program.
class Spawning {
public:
    Spawning(const File& in, const File& out, const File& err) {
        posix_spawn_file_actions_init(&files_);
        posix_spawn_file_actions_adddup2(&files_, in.get(), STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&files_, out.get(), STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&files_, err.get(), STDERR_FILENO);
        posix_spawnattr_init(&attributes_);
        sigset_t ignored_here;
        sigemptyset(&ignored_here);
        sigaddset(&ignored_here, SIGPIPE);
        sigaddset(&ignored_here, SIGXFSZ);
        posix_spawnattr_setsigdefault(&attributes_, &ignored_here);
        posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSIGDEF);
    }
    ~Spawning() {
        posix_spawn_file_actions_destroy(&files_);
        posix_spawnattr_destroy(&attributes_);
    }
    Spawning(const Spawning&) = delete;
    Spawning& operator=(const Spawning&) = delete;

    /// @return the error number.
    [[nodiscard]] int start(pid_t& pid, const std::vector<std::string>& words) const {
        std::vector<char*> argv;
        for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
        argv.push_back(nullptr);
        return posix_spawnp(&pid, argv[0], &files_, &attributes_, argv.data(), environ);
    }

private:
    posix_spawn_file_actions_t files_{};
    posix_spawnattr_t attributes_{};
};

/// @return false at the timeout.
[[nodiscard]] bool has_ended(pid_t pid, std::chrono::milliseconds timeout) {
    const File handle{static_cast<int>(syscall(SYS_pidfd_open, pid, 0U))};
    pollfd entry{.fd = handle.get(), .events = POLLIN, .revents = 0};
    int ready = 0;
    do {
        ready = ::poll(&entry, 1, static_cast<int>(timeout.count()));
    } while (ready < 0 && errno == EINTR);
    return ready > 0;
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream folders{path == nullptr ? "" : path};
    for (std::string folder; std::getline(folders, folder, ':');) {
        std::string found = (folder.empty() ? "." : folder) + "/" + name;
        if (access(found.c_str(), X_OK) == 0) return found;
    }
    return std::nullopt;
}

CommandAnswer answer_of(const std::vector<std::string>& words, const std::string& input,
                        std::chrono::milliseconds timeout) {
    const File in = stream(input);
    const File out = stream();
    const File err = stream();
    pid_t pid = 0;
    const int failed = Spawning{in, out, err}.start(pid, words);
    if (failed == ENOENT) throw Error{Errc::unsupported, "there is no program " + in_quotes(words[0]) + " on the path"};
    if (failed != 0) throw system_failure("cannot start " + in_quotes(words[0]), failed);
    const bool in_time = has_ended(pid, timeout);
    if (!in_time) ::kill(pid, SIGKILL);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (!in_time) {
        throw Error{Errc::timed_out, in_quotes(words[0]) + " has not answered within " +
                                         std::to_string(timeout.count() / 1000) + " s; try it by hand"};
    }
    return {.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status),
            .out = contents(out),
            .err = contents(err)};
}

}  // namespace penstock
