#include "transports/ofi/limits.hpp"

#include <cstdlib>
#include <string_view>

namespace penstock::ofi {

Limits Limits::of_environment() noexcept {
    const char* value = std::getenv("PENSTOCK_OFI_LIMITED");
    return value != nullptr && std::string_view{value} == "1" ? narrow() : Limits{};
}

}  // namespace penstock::ofi
