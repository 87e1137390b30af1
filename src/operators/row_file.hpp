#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
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

/// How pieces get into a file: one after the other, or each at its own place.
enum class RowOrder : std::uint8_t { appended, placed };

/// A file that holds only complete pieces: what cannot be written whole is cut off again.
class RowFile {
public:
    /// Creates the file or empties it.
    /// @param param  The parameter that names it, for the remedy in messages.
    /// @throws Error{invalid_input} if it cannot be created, Error{exhausted} if there is no room for it.
    explicit RowFile(std::string path, std::string_view param = "output", RowOrder order = RowOrder::appended);

    /// Adds one piece, made of parts that stay where they are; `parts` is used up.
    /// @throws Error{exhausted} if it does not fit; the file then ends with the piece before.
    void append(std::vector<iovec>& parts);

    /// Writes one piece at its place in a file of placed pieces. What is missing before it reads as zeros.
    /// @throws Error{exhausted} if it does not fit; the file is then as long as before.
    void write_at(std::uint64_t offset, std::span<const std::byte> piece);

    /// Waits until the storage has it all, and closes. @throws Error{exhausted} if that fails.
    void close();

    [[nodiscard]] const std::string& path() const noexcept { return path_; }

private:
    [[noreturn]] void fail_write(int reason);

    [[nodiscard]] std::string elsewhere() const;

    std::string path_;
    std::string param_;
    UniqueHandle<RowFileTraits> file_;
    std::uint64_t complete_bytes_ = 0;  // length of the file
};

}  // namespace penstock
