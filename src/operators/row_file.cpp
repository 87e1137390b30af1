#include "operators/row_file.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <span>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "base/system_error.hpp"

namespace penstock {
namespace {

/// Drops the first `bytes` of the parts.
std::span<iovec> drop_front(std::span<iovec> parts, std::size_t bytes) noexcept {
    while (!parts.empty() && bytes >= parts.front().iov_len) {
        bytes -= parts.front().iov_len;
        parts = parts.subspan(1);
    }
    if (bytes > 0) {
        parts.front().iov_base = static_cast<char*>(parts.front().iov_base) + bytes;
        parts.front().iov_len -= bytes;
    }
    return parts;
}

}  // namespace

void RowFileTraits::release(int handle) noexcept {
    ::close(handle);
}

RowFile::RowFile(std::string path, std::string_view param, RowOrder order) : path_{std::move(path)}, param_{param} {
    constexpr mode_t mode = 0644;
    const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (order == RowOrder::appended ? O_APPEND : 0);
    file_ = UniqueHandle<RowFileTraits>{open(path_.c_str(), flags, mode)};
    if (!file_) {
        const int reason = errno;
        const std::string text =
            "cannot create the output file " + path_in_quotes(path_) + ": " + std::strerror(reason);
        if (errc_of(reason) == Errc::exhausted) throw Error{Errc::exhausted, text + "; " + elsewhere()};
        throw Error{Errc::invalid_input,
                    text + "; set \"" + param_ + "\" to a file in a directory that can be written to"};
    }
    // Two sinks that were given the same name would write into each other's records.
    struct stat status {};
    if (fstat(file_.get(), &status) != 0 || !S_ISREG(status.st_mode)) return;
    if (flock(file_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        throw Error{Errc::invalid_input, "the output file " + path_in_quotes(path_) +
                                             " is being written by another stage or run; set \"" + param_ +
                                             "\" to another one"};
    }
    if (ftruncate(file_.get(), 0) != 0) fail_write(errno);
}

std::string RowFile::elsewhere() const {
    return "free space, or set \"" + param_ + "\" to a file elsewhere, and run again";
}

void RowFile::append(std::vector<iovec>& parts) {
    std::span<iovec> left = drop_front(parts, 0);
    std::uint64_t piece = 0;
    while (!left.empty()) {
        const auto count = static_cast<int>(std::min<std::size_t>(left.size(), IOV_MAX));
        const ssize_t written = writev(file_.get(), left.data(), count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail_write(errno);
        piece += static_cast<std::uint64_t>(written);
        left = drop_front(left, static_cast<std::size_t>(written));
    }
    complete_bytes_ += piece;
}

void RowFile::write_at(std::uint64_t offset, std::span<const std::byte> piece) {
    std::size_t done = 0;
    while (done < piece.size()) {
        const ssize_t written =
            pwrite(file_.get(), piece.data() + done, piece.size() - done, static_cast<off_t>(offset + done));
        if (written < 0 && errno == EINTR) continue;
        if (written < 0 && errno == ESPIPE) {
            throw Error{Errc::invalid_input, "the output " + path_in_quotes(path_) +
                                                 " has no places to write to; set \"" + param_ + "\" to a file"};
        }
        if (written < 0) fail_write(errno);
        done += static_cast<std::size_t>(written);
    }
    complete_bytes_ = std::max(complete_bytes_, offset + piece.size());
}

void RowFile::fail_write(int reason) {
    std::string text = "cannot write the output file " + path_in_quotes(path_) + ": " + std::strerror(reason);
    text += ftruncate(file_.get(), static_cast<off_t>(complete_bytes_)) == 0
                ? "; it keeps what was complete (" + std::to_string(complete_bytes_) + " bytes)"
                : "; it may end with an incomplete record";
    throw Error{Errc::exhausted, text + "; " + elsewhere()};
}

void RowFile::close() {
    // Pipes and terminals have no storage to wait for.
    if (fdatasync(file_.get()) != 0 && errno != EINVAL && errno != EROFS) {
        throw Error{Errc::exhausted, "cannot store the output file " + path_in_quotes(path_) + ": " +
                                         std::strerror(errno) + "; its last records may be missing, " + elsewhere()};
    }
    file_ = {};
}

}  // namespace penstock
