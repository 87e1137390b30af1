#pragma once

#include <cerrno>

#include <penstock/error.hpp>

namespace penstock {

/// What the caller can do about a failed call to the system: wait for room, memory or handles, or ask for something
/// else.
[[nodiscard]] inline Errc errc_of(int reason) noexcept {
    switch (reason) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case EAGAIN: return Errc::exhausted;
        default: return Errc::invalid_input;
    }
}

/// How to get more of it: "free some space", "raise 'ulimit -n'"; empty for any other reason.
[[nodiscard]] inline const char* remedy_of(int reason) noexcept {
    switch (reason) {
        case ENOSPC:
        case EDQUOT: return "free some space";
        case EFBIG: return "raise 'ulimit -f'";
        case EMFILE: return "raise 'ulimit -n'";
        case ENFILE: return "close files of other programs";
        case ENOMEM:
        case EAGAIN: return "free memory or raise 'ulimit -v'";
        default: return "";
    }
}

}  // namespace penstock
