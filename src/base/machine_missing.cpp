#include <penstock/error.hpp>

#include "base/machine.hpp"

namespace penstock {
namespace {

[[noreturn]] void refuse() {
    throw Error{Errc::unsupported,
                "this build cannot bind processes to cores: it has no hwloc; install libhwloc-dev and configure again"};
}

}  // namespace

Machine Machine::here(const std::vector<int>&) {
    refuse();
}

Machine Machine::described(const std::string&) {
    refuse();
}

}  // namespace penstock
