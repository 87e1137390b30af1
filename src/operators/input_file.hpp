#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_handle.hpp"
#include "operators/row_file.hpp"

namespace penstock {

/// A file, pipe or device that is read in blocks. Reading goes on where it is, or at any offset of a regular file.
class InputFile {
public:
    /// @throws Error{invalid_input} if it cannot be opened or is a directory.
    explicit InputFile(std::string path, std::string_view param = "input");

    /// The size when it was opened; nothing for what is no regular file.
    [[nodiscard]] std::optional<std::uint64_t> size_bytes() const noexcept { return size_bytes_; }
    [[nodiscard]] const std::string& path() const noexcept { return path_; }

    /// Reads a regular file at an offset until the room is full or the file's first size is reached.
    /// @throws Error{invalid_input} if it cannot be read or is shorter now.
    [[nodiscard]] std::size_t read_at(std::uint64_t offset, char* into, std::size_t room) const;
    /// Reads what comes next in what is no regular file. @return 0 at its end.
    /// @throws Error{invalid_input} if it cannot be read.
    [[nodiscard]] std::size_t read_next(char* into, std::size_t room) const;

    /// Whether the file is longer now than it was. @throws Error{invalid_input} if it is shorter, or if it is longer
    /// and was read in parts: they may then lack something or overlap.
    bool check_growth(std::size_t parts) const;
    [[noreturn]] void fail_for_growth() const;

private:
    [[noreturn]] void fail(std::string_view what) const;
    [[noreturn]] void fail_shorter(std::uint64_t now) const;

    std::string path_;
    UniqueHandle<RowFileTraits> file_;
    std::optional<std::uint64_t> size_bytes_;
};

/// Where the part begins of something that so many parts share; where the last one ends for part = parts.
[[nodiscard]] std::uint64_t part_begin(std::size_t part, std::size_t parts, std::uint64_t size) noexcept;

}  // namespace penstock
