#include "base/log.hpp"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <mutex>

#include <fcntl.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <penstock/error.hpp>

#include "base/clock.hpp"
#include "base/quote.hpp"
#include "base/system_error.hpp"
#include "base/unique_handle.hpp"

namespace penstock {
namespace {

constexpr std::size_t level_count = 4;
constexpr std::array<std::string_view, level_count> level_names{"debug", "info", "warn", "error"};
constexpr std::array spdlog_levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};

struct FdTraits {
    using Handle = int;
    static Handle null() noexcept { return -1; }
    static void release(Handle handle) noexcept { close(handle); }
};
using Fd = UniqueHandle<FdTraits>;

/// @return how much was written: all of it unless errno says why not.
std::size_t write_text(int fd, std::string_view text) noexcept {
    std::size_t done = 0;
    while (done < text.size()) {
        const ssize_t written = write(fd, text.data() + done, text.size() - done);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) break;
        done += static_cast<std::size_t>(written);
    }
    return done;
}

/// Lines for people on standard error. Nobody is left to tell if that fails.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
public:
    explicit StderrSink(bool terminal) {
        for (std::size_t level = 0; level < level_count; ++level) {
            formatters_[level] = std::make_unique<spdlog::pattern_formatter>(pattern(level, terminal));
        }
    }

private:
    static std::string pattern(std::size_t level, bool terminal) {
        std::string mark;
        if (level >= static_cast<std::size_t>(LogLevel::warn)) mark.append(level_names[level]).append(": ");
        if (terminal && level == static_cast<std::size_t>(LogLevel::warn)) mark = "\033[33m" + mark + "\033[0m";
        if (terminal && level == static_cast<std::size_t>(LogLevel::error)) mark = "\033[31m" + mark + "\033[0m";
        return (terminal ? "\r\033[K" : "") + std::string{"%H:%M:%S.%e %n  "} + mark + "%v";
    }

    void sink_it_(const spdlog::details::log_msg& message) override {
        const auto level = std::find(spdlog_levels.begin(), spdlog_levels.end(), message.level) - spdlog_levels.begin();
        spdlog::memory_buf_t line;
        formatters_[static_cast<std::size_t>(level)]->format(message, line);
        write_text(STDERR_FILENO, {line.data(), line.size()});
    }
    void flush_() override {}

    std::array<std::unique_ptr<spdlog::formatter>, level_count> formatters_;
};

/// Lines for programs in a file: whole ones or none.
class JsonLines {
public:
    explicit JsonLines(std::string path) : path_{std::move(path)} {
        constexpr mode_t owner_only = 0600;
        file_ = Fd{open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, owner_only)};
        if (!file_) {
            const int why = errno;
            const bool lacking = errc_of(why) == Errc::exhausted;
            throw Error{errc_of(why), "cannot open the log file " + path_in_quotes(path_) + ": " + std::strerror(why) +
                                          "; " +
                                          (lacking ? remedy_of(why) : "choose a directory that can be written to")};
        }
    }

    void append(const std::string& line) {
        const std::lock_guard lock{mutex_};
        const off_t before = lseek(file_.get(), 0, SEEK_END);
        const std::size_t written = write_text(file_.get(), line);
        if (written == line.size()) return;
        const int reason = errno;
        // Best effort: half a line would spoil the next one.
        if (written > 0 && ftruncate(file_.get(), before) != 0) write_text(file_.get(), "\n");
        if (lost_++ > 0) return;
        write_text(STDERR_FILENO, fmt::format("penstock: cannot write the log {}: {}; such lines are dropped\n",
                                              path_in_quotes(path_), std::strerror(reason)));
    }

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }

private:
    std::string path_;
    Fd file_;
    std::mutex mutex_;
    std::uint64_t lost_ = 0;
};

/// RFC 3339, UTC.
std::string time_text(std::uint64_t ns) {
    constexpr std::uint64_t second = 1'000'000'000;
    const auto seconds = static_cast<std::time_t>(ns / second);
    std::tm utc{};
    gmtime_r(&seconds, &utc);
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                       utc.tm_hour, utc.tm_min, utc.tm_sec, ns % second);
}

class FanOutLogger final : public Logger {
public:
    explicit FanOutLogger(const LogOptions& options) : label_{options.label}, level_{options.level} {
        if (options.human) {
            human_ = std::make_unique<spdlog::logger>(label_, std::make_shared<StderrSink>(options.terminal));
            human_->set_level(spdlog::level::trace);  // filtered here, for both kinds of line
        }
        if (!options.jsonl_path.empty()) json_ = std::make_unique<JsonLines>(options.jsonl_path);
    }

    ~FanOutLogger() override {
        if (json_ && json_->lost() > 1) {
            write_text(STDERR_FILENO, fmt::format("penstock: {} lines are missing in the log {}\n", json_->lost(),
                                                  path_in_quotes(json_->path())));
        }
    }

    void write(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) override {
        if (level < level_) return;
        if (json_) json_->append(json_line(level, message, fields));
        if (human_) human_->log(spdlog_levels[static_cast<std::size_t>(level)], message);
    }

private:
    [[nodiscard]] std::string json_line(LogLevel level, std::string_view message,
                                        std::initializer_list<LogField> fields) const {
        nlohmann::ordered_json line{
            {"time", time_text(wall_ns())}, {"level", name_of(level)}, {"label", label_}, {"message", message}};
        for (const auto& field : fields) {
            std::visit([&](const auto& value) { line.emplace(field.key, value); }, field.value);
        }
        return line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
    }

    std::string label_;
    LogLevel level_;
    std::unique_ptr<spdlog::logger> human_;
    std::unique_ptr<JsonLines> json_;
};

}  // namespace

std::string_view name_of(LogLevel level) noexcept {
    return level_names[static_cast<std::size_t>(level)];
}

std::unique_ptr<Logger> make_logger(const LogOptions& options) {
    return std::make_unique<FanOutLogger>(options);
}

}  // namespace penstock
