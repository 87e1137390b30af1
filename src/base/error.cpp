#include <penstock/error.hpp>

namespace penstock {

std::string_view name_of(Errc code) noexcept {
    switch (code) {
        case Errc::invalid_input: return "invalid input";
        case Errc::unsupported: return "unsupported";
        case Errc::exhausted: return "exhausted";
        case Errc::timed_out: return "timed out";
        case Errc::disconnected: return "disconnected";
        case Errc::failed: return "failed";
        case Errc::internal: return "internal error";
    }
    return "unknown error";
}

Error::Error(Errc code, std::string_view message, Where where) : code_{code}, where_{where} {
    text_.append(name_of(code)).append(": ").append(message);
    if (code != Errc::internal) return;  // users act on the message, developers on the line
    text_.append("\n  at ").append(where.file).append(":").append(std::to_string(where.line));
}

void Error::add_context(std::string_view note) {
    text_.append("\n  while ").append(note);
}

}  // namespace penstock
