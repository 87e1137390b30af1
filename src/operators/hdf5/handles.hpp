#pragma once

#include <mutex>
#include <string>
#include <string_view>

#include <hdf5.h>

#include <penstock/error.hpp>

#include "base/unique_handle.hpp"

/// HDF5 behind RAII and exceptions. Every call of the library is made under a `Guard`, also the release of an `Id`.
namespace penstock::hdf5 {

struct IdTraits {
    using Handle = hid_t;
    static Handle null() noexcept { return H5I_INVALID_HID; }
    static void release(Handle handle) noexcept { H5Idec_ref(handle); }
};

/// A file, a dataset, a type, a property list, ...: whatever has an identifier.
using Id = UniqueHandle<IdTraits>;

/// One thread at a time may be in the library, as it need not be built for more. Keeps it from printing errors.
class Guard {
public:
    Guard();

private:
    std::lock_guard<std::recursive_mutex> lock_;
};

/// What the library says about its last failure, innermost reason first; empties its list.
[[nodiscard]] std::string take_reason();

/// @throws Error of that code: the text, then the library's reason.
[[noreturn]] void fail(Errc code, std::string_view what);

/// Takes over a new identifier. @throws Error{failed} if there is none.
[[nodiscard]] Id made(hid_t id, std::string_view what);

/// @throws Error{failed} for a negative status.
void check(herr_t status, std::string_view what);

}  // namespace penstock::hdf5
