#include "transports/ofi/settings.hpp"

#include <cstdlib>

namespace penstock::ofi {
namespace {

[[nodiscard]] std::string setting(const char* variable) {
    const char* value = std::getenv(variable);
    return value == nullptr ? "" : value;
}

}  // namespace

Wishes Wishes::of_environment() {
    return {.provider = setting("PENSTOCK_OFI_PROVIDER"),
            .domain = setting("PENSTOCK_OFI_DOMAIN"),
            .rails = setting("PENSTOCK_OFI_RAILS")};
}

Limits Limits::of_environment() {
    return setting("PENSTOCK_OFI_LIMITED") == "1" ? narrow() : Limits{};
}

}  // namespace penstock::ofi
