#pragma once

#include <string_view>

namespace penstock {

/// Version of the library, "major.minor.patch". The build reads it from this line.
inline constexpr std::string_view version = "0.1.0";

}  // namespace penstock
