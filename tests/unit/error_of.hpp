#pragma once

#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <penstock/error.hpp>

namespace penstock {

/// The Error that leaves the call; a test failure and an internal error if none does.
template <class Call>
[[nodiscard]] Error error_of(Call&& call) {
    try {
        std::forward<Call>(call)();
    } catch (const Error& error) {
        return error;
    }
    ADD_FAILURE() << "no Error was thrown";
    return Error{Errc::internal, "no Error was thrown"};
}

}  // namespace penstock
