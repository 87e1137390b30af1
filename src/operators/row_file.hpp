#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/uio.h>

#include "base/unique_handle.hpp"

namespace penstock {

struct RowFileTraits {
    using Handle = int;
    static Handle null() noexcept { return -1; }
    static void release(Handle handle) noexcept;
};

/// A file that holds only complete pieces: what cannot be written whole is cut off again.
class RowFile {
public:
    /// Creates the file or empties it.
    /// @param param  The parameter that names it, for the remedy in messages.
    /// @throws Error{invalid_input} if it cannot be created, Error{exhausted} if there is no room for it.
    explicit RowFile(std::string path, std::string_view param = "output");

    /// Adds one piece, made of parts that stay where they are; `parts` is used up.
    /// @throws Error{exhausted} if it does not fit; the file then ends with the piece before.
    void append(std::vector<iovec>& parts);

    /// Waits until the storage has it all, and closes. @throws Error{exhausted} if that fails.
    void close();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    [[noreturn]] void fail_write(int reason);

    [[nodiscard]] std::string elsewhere() const;

    std::string path_;
    std::string param_;
    UniqueHandle<RowFileTraits> file_;
    std::uint64_t complete_bytes_ = 0;
};

}  // namespace penstock
