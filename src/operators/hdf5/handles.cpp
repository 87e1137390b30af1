#include "operators/hdf5/handles.hpp"

namespace penstock::hdf5 {
namespace {

std::recursive_mutex& library_mutex() {
    static std::recursive_mutex mutex;
    return mutex;
}

struct Reasons {
    std::string innermost;
    std::string outermost;
};

extern "C" herr_t collect_reason(unsigned, const H5E_error2_t* entry, void* into) noexcept {
    auto& reasons = *static_cast<Reasons*>(into);
    if (entry->desc == nullptr || *entry->desc == '\0') return 0;
    try {
        if (reasons.innermost.empty()) reasons.innermost = entry->desc;
        reasons.outermost = entry->desc;
    } catch (const std::bad_alloc&) {
        return -1;
    }
    return 0;
}

}  // namespace

Guard::Guard() : lock_{library_mutex()} {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // of this thread
}

std::string take_reason() {
    Reasons reasons;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, collect_reason, &reasons);
    H5Eclear2(H5E_DEFAULT);
    if (reasons.innermost.empty()) return "the library gives no reason";
    if (reasons.innermost == reasons.outermost) return reasons.innermost;
    return reasons.innermost + " (" + reasons.outermost + ")";
}

void fail(Errc code, std::string_view what) {
    throw Error{code, std::string{what} + ": " + take_reason()};
}

Id made(hid_t id, std::string_view what) {
    if (id < 0) fail(Errc::failed, what);
    return Id{id};
}

void check(herr_t status, std::string_view what) {
    if (status < 0) fail(Errc::failed, what);
}

}  // namespace penstock::hdf5
