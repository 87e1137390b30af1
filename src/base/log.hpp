#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <penstock/log.hpp>

namespace penstock {

struct LogOptions {
    std::string label;                ///< Who speaks: "producer.0".
    LogLevel level = LogLevel::info;  ///< Lines below it are dropped.
    /// Gets one JSON object a line; appended to, and created for the owner only. Empty: none.
    std::string jsonl_path = {};
    bool human = true;      ///< Lines on standard error.
    bool terminal = false;  ///< Standard error is one: colours, and each line clears what a progress view has drawn.
};

[[nodiscard]] std::string_view name_of(LogLevel level) noexcept;

/// A logger that any thread may use. Each line is one write, so the lines of several processes do not mix.
/// Never throws later: what cannot be written is dropped and counted, which is said on standard error once.
/// @throws Error{invalid_input} if the file cannot be opened.
[[nodiscard]] std::unique_ptr<Logger> make_logger(const LogOptions& options);

}  // namespace penstock
