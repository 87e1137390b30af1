#include "base/module.hpp"

#include <array>
#include <filesystem>
#include <string_view>

#include <dlfcn.h>

#include <penstock/error.hpp>
#include <penstock/version.hpp>

#include "base/quote.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;

/// From the folder of the program, wherever the tree was moved to; or where it was installed.
[[nodiscard]] fs::path path_of(const std::string& name) {
    std::error_code error;
    const fs::path file = "penstock_" + name + ".so";
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    const fs::path near = (program.parent_path() / PENSTOCK_MODULES_FROM_BIN / file).lexically_normal();
    if (fs::exists(near, error)) return near;
    const fs::path installed = fs::path{PENSTOCK_MODULES_DIR} / file;
    return fs::exists(installed, error) ? installed : near;
}

[[nodiscard]] std::string dl_error() {
    const char* text = dlerror();
    return text == nullptr ? "unknown error" : text;
}

}  // namespace

const void* load_module(const std::string& name, const std::string& entry) {
    const fs::path path = path_of(name);
    const auto fail = [&](const std::string& why) {
        return Error{Errc::failed, "cannot load " + path_in_quotes(path.string()) + ": " + why +
                                       "; install the program and its modules again, of one version"};
    };
    void* module = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module == nullptr) throw fail(dl_error());
    const auto* theirs = static_cast<const char* const*>(dlsym(module, "penstock_module_version"));
    if (theirs == nullptr || *theirs != version) throw fail("it is of another version than " + std::string{version});
    const void* found = dlsym(module, entry.c_str());
    if (found == nullptr) throw fail(dl_error());
    return found;
}

}  // namespace penstock
