#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <iostream>
#include <ostream>
#include <streambuf>
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

/// Standard output, in pieces. After a failed write nothing more is written.
class StandardOutput final : public std::streambuf {
public:
    StandardOutput() { setp(buffer_.data(), buffer_.data() + buffer_.size()); }

    /// Writes what is left. @return the error number, or 0. A reader that has gone is its own business.
    [[nodiscard]] int finish() {
        (void)sync();
        return error_ == EPIPE ? 0 : error_;
    }

protected:
    int_type overflow(int_type c) override {
        if (sync() != 0) return traits_type::eof();
        if (!traits_type::eq_int_type(c, traits_type::eof())) sputc(traits_type::to_char_type(c));
        return traits_type::not_eof(c);
    }

    int sync() override {
        std::string_view text{pbase(), static_cast<std::size_t>(pptr() - pbase())};
        while (error_ == 0 && !text.empty()) {
            const auto written = ::write(STDOUT_FILENO, text.data(), text.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) {
                error_ = errno;
            } else {
                text.remove_prefix(static_cast<std::size_t>(written));
            }
        }
        setp(buffer_.data(), buffer_.data() + buffer_.size());
        return error_ == 0 ? 0 : -1;
    }

private:
    std::array<char, 65536> buffer_;
    int error_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
    occupy_closed_streams();
    // `penstock run --json | head -1` must not end the run.
    std::signal(SIGPIPE, SIG_IGN);
    // `ulimit -f` is an error of the call that writes, with a message of its own.
    std::signal(SIGXFSZ, SIG_IGN);
    StandardOutput output;
    std::ostream out{&output};
    const int code = penstock::cli::run_program(argc, argv, out, std::cerr);
    const int error = output.finish();
    if (error == 0) return code;
    std::cerr << "penstock: cannot write to standard output: " << std::strerror(error) << '\n';
    return code != 0 ? code : 1;
}
