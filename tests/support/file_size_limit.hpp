#pragma once

#include <csignal>

#include <sys/resource.h>

namespace penstock::test {

/// Files cannot grow beyond that many bytes while this object lives.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) : old_action_{std::signal(SIGXFSZ, SIG_IGN)} {
        getrlimit(RLIMIT_FSIZE, &old_);
        const rlimit tight{bytes, old_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &tight);
    }
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &old_);
        std::signal(SIGXFSZ, old_action_);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;

private:
    void (*old_action_)(int);
    rlimit old_{};
};

}  // namespace penstock::test
