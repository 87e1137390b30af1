#include "base/process_space.hpp"

#include <array>
#include <fstream>

#include <unistd.h>

namespace penstock {

std::string process_space() {
    std::array<char, 64> space{};
    if (readlink("/proc/self/ns/pid", space.data(), space.size() - 1) < 0) return "unknown";
    std::string boot;
    if (!std::getline(std::ifstream{"/proc/sys/kernel/random/boot_id"}, boot)) return "unknown";
    return space.data() + boot;
}

}  // namespace penstock
