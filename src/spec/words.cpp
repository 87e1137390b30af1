#include "spec/words.hpp"

#include <penstock/error.hpp>
#include <penstock/version.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"

namespace penstock {

std::string_view name_of(Device device) noexcept {
    return vocabulary::device.name_of(device);
}

std::string_view name_of(Route route) noexcept {
    return vocabulary::route.name_of(route);
}

std::string_view name_of(Overflow overflow) noexcept {
    return vocabulary::overflow.name_of(overflow);
}

std::string_view name_of(Dispatch dispatch) noexcept {
    return vocabulary::dispatch.name_of(dispatch);
}

std::string_view name_of(PassBy by) noexcept {
    return vocabulary::by.name_of(by);
}

std::string_view name_of(TransportKind transport) noexcept {
    return vocabulary::transport.name_of(transport);
}

TransportKind transport_kind(std::string_view name) {
    const auto& words = vocabulary::transport;
    if (const auto kind = words.find(name)) return *kind;
    const auto names = names_of(words);
    if (words.is_later(name)) {
        throw Error{Errc::unsupported, "transport " + in_quotes(name) + " is not available in version " +
                                           std::string{version} + "; use auto, shm or mpi"};
    }
    throw Error{Errc::invalid_input, "unknown transport " + in_quotes(name) + suggestion(name, names, "known are")};
}

}  // namespace penstock
