#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock::ofi {

/// What is taken from a provider, for tests: everything has to work with one that has no more.
struct Limits {
    bool native_read = true;
    bool tagged = true;
    bool in_order = true;                         ///< Otherwise what arrives is shuffled.
    std::size_t message_bytes = ~std::size_t{0};  ///< No message is longer.
    std::uint32_t window = 16;                    ///< Messages that a peer may have under way. A power of two, >= 4.

    /// What the narrowest devices have: no reads, no tags, no order, one packet a message, few buffers.
    [[nodiscard]] static constexpr Limits narrow() noexcept {
        return {.native_read = false, .tagged = false, .in_order = false, .message_bytes = 4096, .window = 4};
    }
    /// PENSTOCK_OFI_LIMITED=1: the narrow ones. Else none.
    [[nodiscard]] static Limits of_environment() noexcept;
};

}  // namespace penstock::ofi
