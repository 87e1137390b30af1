#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace penstock::ofi {

/// What a user may ask for: the variables PENSTOCK_OFI_PROVIDER, PENSTOCK_OFI_DOMAIN and PENSTOCK_OFI_RAILS; empty
/// means anything useful.
struct Wishes {
    std::string provider = {};
    std::string domain = {};  ///< One device, or several, separated by commas.
    std::string rails = {};   ///< How many.
    [[nodiscard]] static Wishes of_environment();
};

/// What is taken from a provider, for tests: everything has to work with one that has no more.
struct Limits {
    bool native_read = true;
    bool tagged = true;
    bool unregistered = true;                     ///< Memory that is not registered may be sent from and received into.
    bool in_order = true;                         ///< Otherwise what arrives is shuffled.
    std::size_t message_bytes = ~std::size_t{0};  ///< No message is longer.
    std::uint32_t window = 16;                    ///< Messages that a peer may have under way. A power of two, >= 4.

    /// What the narrowest devices have: no reads, no tags, no order, one packet a message, few buffers, all registered.
    [[nodiscard]] static constexpr Limits narrow() noexcept {
        return {.native_read = false,
                .tagged = false,
                .unregistered = false,
                .in_order = false,
                .message_bytes = 4096,
                .window = 8};
    }
    /// PENSTOCK_OFI_LIMITED=1: the narrow ones. Else none.
    [[nodiscard]] static Limits of_environment();
};

}  // namespace penstock::ofi
