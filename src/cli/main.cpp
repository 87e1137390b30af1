#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <sstream>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

#include "cli/program.hpp"

namespace {

/// A file of the run must not get the number of a stream that the caller has closed: log lines would go into it.
void occupy_closed_streams() {
    int lowest = 0;
    do {
        lowest = ::open("/dev/null", O_RDWR);
    } while (lowest >= 0 && lowest <= STDERR_FILENO);
    if (lowest > STDERR_FILENO) ::close(lowest);
}

/// @return the error number, or 0. A reader that has gone is its own business.
int write_standard_output(std::string_view text) {
    while (!text.empty()) {
        const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return errno == EPIPE ? 0 : errno;
        text.remove_prefix(static_cast<std::size_t>(written));
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    occupy_closed_streams();
    // `penstock run --json | head -1` must not end the run.
    std::signal(SIGPIPE, SIG_IGN);
    // `ulimit -f` is an error of the call that writes, with a message of its own.
    std::signal(SIGXFSZ, SIG_IGN);
    std::ostringstream out;
    const int code = penstock::cli::run_program(argc, argv, out, std::cerr);
    const int error = write_standard_output(out.str());
    if (error == 0) return code;
    std::cerr << "penstock: cannot write to standard output: " << std::strerror(error) << '\n';
    return code != 0 ? code : 1;
}
