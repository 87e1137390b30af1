#include "operators/input_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock {

InputFile::InputFile(std::string path, std::string_view param) : path_{std::move(path)} {
    file_ = UniqueHandle<RowFileTraits>{open(path_.c_str(), O_RDONLY | O_CLOEXEC)};
    if (!file_) {
        const int reason = errno;
        throw Error{Errc::invalid_input, "cannot open the input file " + path_in_quotes(path_) + ": " +
                                             std::strerror(reason) + "; set " + in_quotes(param) +
                                             " to a file that can be read"};
    }
    struct stat status = {};
    if (fstat(file_.get(), &status) != 0) fail("examine");
    if (S_ISDIR(status.st_mode)) {
        throw Error{Errc::invalid_input, "the input " + path_in_quotes(path_) + " is a directory; set " +
                                             in_quotes(param) + " to a file in it"};
    }
    if (S_ISREG(status.st_mode)) size_bytes_ = static_cast<std::uint64_t>(status.st_size);
}

std::size_t InputFile::read_at(std::uint64_t offset, char* into, std::size_t room) const {
    const std::uint64_t left = *size_bytes_ - std::min(offset, *size_bytes_);
    room = static_cast<std::size_t>(std::min<std::uint64_t>(room, left));
    std::size_t done = 0;
    while (done < room) {
        const ssize_t count = pread(file_.get(), into + done, room - done, static_cast<off_t>(offset + done));
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) fail("read");
        if (count == 0) fail_shorter(offset + done);
        done += static_cast<std::size_t>(count);
    }
    return done;
}

std::size_t InputFile::read_next(char* into, std::size_t room) const {
    for (;;) {
        const ssize_t count = read(file_.get(), into, room);
        if (count >= 0) return static_cast<std::size_t>(count);
        if (errno != EINTR) fail("read");
    }
}

bool InputFile::check_growth(std::size_t parts) const {
    if (!size_bytes_) return false;
    struct stat status = {};
    if (fstat(file_.get(), &status) != 0) fail("examine");
    const auto now = static_cast<std::uint64_t>(status.st_size);
    if (now < *size_bytes_) fail_shorter(now);
    if (now > *size_bytes_ && parts > 1) fail_for_growth();
    return now > *size_bytes_;
}

void InputFile::fail_for_growth() const {
    throw Error{Errc::invalid_input, "the input file " + path_in_quotes(path_) +
                                         " grew while its parts were read, so that something may be missing or there "
                                         "twice; let it be complete before the run, or set \"instances\" to 1"};
}

std::uint64_t part_begin(std::size_t part, std::size_t parts, std::uint64_t size) noexcept {
    return size / parts * part + size % parts * part / parts;
}

void InputFile::fail(std::string_view what) const {
    throw Error{Errc::invalid_input, "cannot " + std::string{what} + " the input file " + path_in_quotes(path_) + ": " +
                                         std::strerror(errno)};
}

void InputFile::fail_shorter(std::uint64_t now) const {
    throw Error{Errc::invalid_input, "the input file " + path_in_quotes(path_) + " became shorter while it was read (" +
                                         std::to_string(*size_bytes_) + " bytes, then " + std::to_string(now) +
                                         "); let it be complete before the run"};
}

}  // namespace penstock
