#pragma once

#include <string>
#include <string_view>

namespace penstock {

/// Somebody else's text made safe for a one-line message: control characters and quotes escaped, at most about 60
/// characters of it, UTF-8 left whole.
[[nodiscard]] std::string printable(std::string_view text);

/// The same in double quotes.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// All of it, however long: half a path cannot be found.
[[nodiscard]] std::string path_in_quotes(std::string_view path);

/// One word of a command line of any POSIX shell, in single quotes, in which there is no escape.
[[nodiscard]] std::string shell_quoted(std::string_view text);

}  // namespace penstock
