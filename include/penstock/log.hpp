#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

namespace penstock {

/// One field of a structured log line.
struct LogField {
    std::string_view key;
    std::variant<std::int64_t, double, bool, std::string_view> value;
};

enum class LogLevel : std::uint8_t { debug, info, warn, error };

/// An instance's log: a line for people, and a JSON line with the fields in the run directory.
class Logger {
public:
    virtual ~Logger() = default;
    virtual void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) = 0;

    void debug(std::string_view text, std::initializer_list<LogField> fields = {}) {
        write(LogLevel::debug, text, fields);
    }
    void info(std::string_view text, std::initializer_list<LogField> fields = {}) {
        write(LogLevel::info, text, fields);
    }
    void warn(std::string_view text, std::initializer_list<LogField> fields = {}) {
        write(LogLevel::warn, text, fields);
    }
    void error(std::string_view text, std::initializer_list<LogField> fields = {}) {
        write(LogLevel::error, text, fields);
    }
};

}  // namespace penstock
