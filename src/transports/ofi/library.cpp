#include "transports/ofi/library.hpp"

#include <string>

#include <dlfcn.h>

#include <penstock/error.hpp>

namespace penstock::ofi {
namespace {

constexpr const char* file = "libfabric.so.1";

template <class Function>
void find(void* handle, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(handle, name));
    if (function == nullptr) throw Error{Errc::unsupported, std::string{file} + " has no " + name};
}

[[nodiscard]] Library load() {
    const KeptSignals kept;
    void* handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);  // stays for as long as the process
    if (handle == nullptr) {
        throw Error{Errc::unsupported,
                    "libfabric cannot be loaded (" + std::string{dlerror()} + "); install it (Debian: libfabric1)"};
    }
    Library library{};
    find(handle, "fi_getinfo", library.getinfo);
    find(handle, "fi_dupinfo", library.dupinfo);
    find(handle, "fi_freeinfo", library.freeinfo);
    find(handle, "fi_fabric", library.fabric);
    find(handle, "fi_strerror", library.strerror);
    find(handle, "fi_version", library.version);
    return library;
}

}  // namespace

const Library& library() {
    static const Library loaded = load();
    return loaded;
}

KeptSignals::KeptSignals() noexcept {
    for (int number = 1; number < NSIG; ++number) sigaction(number, nullptr, &kept_[static_cast<std::size_t>(number)]);
}

KeptSignals::~KeptSignals() {
    for (int number = 1; number < NSIG; ++number) sigaction(number, &kept_[static_cast<std::size_t>(number)], nullptr);
}

}  // namespace penstock::ofi
