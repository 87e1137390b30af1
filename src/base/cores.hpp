#pragma once

namespace penstock {

/// Processors that this process may run on.
[[nodiscard]] unsigned usable_cores() noexcept;

}  // namespace penstock
