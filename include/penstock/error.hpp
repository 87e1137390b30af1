#pragma once

#include <exception>
#include <string>
#include <string_view>

namespace penstock {

/// What the caller can do about a failure; the message says what went wrong.
enum class Errc {
    invalid_input,  ///< Fix the pipeline file or the argument, then try again.
    unsupported,    ///< Choose another transport, operator or build option.
    exhausted,      ///< Out of memory, credits or file handles; retry later.
    timed_out,      ///< No answer in time; the peer may still be alive.
    disconnected,   ///< The peer is gone; reconnect or re-plan.
    failed,         ///< An operator failed for reasons of its own, which its message gives.
    internal,       ///< A bug in penstock; please report it.
};

/// "invalid input", "timed out", …: what an Error's text starts with.
[[nodiscard]] std::string_view name_of(Errc code) noexcept;

/// Source location of a throw. Stands in for std::source_location, which clang 14 lacks.
struct Where {
    const char* file;
    int line;
    static constexpr Where here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
        return {file, line};
    }
};

/// The one exception type of the library.
class Error : public std::exception {
public:
    Error(Errc code, std::string_view message, Where where = Where::here());

    [[nodiscard]] Errc code() const noexcept { return code_; }
    [[nodiscard]] const char* what() const noexcept override { return text_.c_str(); }
    [[nodiscard]] Where where() const noexcept { return where_; }

    /// Appends one line "while <note>", innermost first.
    void add_context(std::string_view note);

private:
    Errc code_;
    Where where_;
    std::string text_;
};

/// Runs `body`; an Error leaving it gains the line returned by `note`.
/// `note` is called only on failure, so it may format freely.
template <class Body, class Note>
decltype(auto) with_context(Note&& note, Body&& body) {
    try {
        return body();
    } catch (Error& error) {
        error.add_context(note());
        throw;
    }
}

}  // namespace penstock
