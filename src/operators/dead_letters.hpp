#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <penstock/operator.hpp>

#include "operators/row_file.hpp"

namespace penstock {

/// Where something stands in a file.
struct FilePlace {
    std::string_view path;
    std::uint64_t line = 0;  ///< From 1; 0 for what has no lines.
    std::uint64_t byte = 0;  ///< From 0.
};

/// "line 3 (byte 41) of "in.csv""
[[nodiscard]] std::string text_of(const FilePlace& place);

/// Keeps what a stage could not use, one JSON object a line, with the place it comes from and the reason:
///     {"file": "in.csv", "line": 3, "byte": 41, "reason": "...", "record": "..."}
///     {"source_rank": 2, "payload": 17, "line": 3, "reason": "...", "record": "..."}
/// A record that is no UTF-8 has its bytes in "record_hex" too.
class DeadLetters {
public:
    /// Creates the file, which stays empty if everything is good; keeps nothing for an empty name.
    /// @param name  Of a result file.
    /// @throws Error{invalid_input} if it cannot be created, Error{exhausted} if there is no room for it.
    DeadLetters(const StageContext& context, std::string_view name);

    /// @throws Error{exhausted} if it does not fit.
    void keep(const FilePlace& place, std::string_view reason, std::string_view record);
    void keep(PayloadId payload, std::uint64_t line, std::string_view reason, std::string_view record);

    /// Waits until the storage has it all.
    void close();

private:
    void write(std::string_view place, std::string_view reason, std::string_view record);

    std::optional<RowFile> file_;
    std::string text_;
};

}  // namespace penstock
