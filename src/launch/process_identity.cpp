#include "launch/process_identity.hpp"

#include <array>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>

#include <unistd.h>

namespace penstock {
namespace {

[[nodiscard]] std::string first_line(const std::string& path) {
    std::ifstream file{path};
    std::string line;
    std::getline(file, line);
    return line;
}

[[nodiscard]] std::string world_here() {
    std::array<char, 64> space{};
    const ssize_t length = readlink("/proc/self/ns/pid", space.data(), space.size() - 1);
    return first_line("/proc/sys/kernel/random/boot_id") + " " +
           std::string{space.data(), length < 0 ? 0U : static_cast<std::size_t>(length)};
}

/// The state and the start of a process, as /proc/PID/stat has them (proc(5)): its third and its 22nd word. The second
/// is the name in parentheses, which may have spaces and parentheses itself.
struct Life {
    char state = '?';
    std::uint64_t started = 0;
};
[[nodiscard]] std::optional<Life> life_of(std::int64_t pid) {
    const std::string line = first_line("/proc/" + std::to_string(pid) + "/stat");
    const auto name_end = line.rfind(')');
    if (name_end == std::string::npos) return std::nullopt;
    std::istringstream words{line.substr(name_end + 1)};
    Life life;
    words >> life.state;
    constexpr int words_between = 18;
    std::string skipped;
    for (int i = 0; i < words_between; ++i) words >> skipped;
    words >> life.started;
    if (!words) return std::nullopt;
    return life;
}

}  // namespace

std::string host_name() {
    std::array<char, 256> name{};
    if (gethostname(name.data(), name.size() - 1) != 0) name[0] = '\0';
    return name.data();
}

ProcessIdentity ProcessIdentity::here() {
    const auto life = life_of(getpid());
    return {.host = host_name(), .world = world_here(), .pid = getpid(), .started = life ? life->started : 0};
}

bool ProcessIdentity::is_in_reach() const {
    return !world.empty() && world == world_here();
}

bool ProcessIdentity::is_alive() const {
    const auto life = life_of(pid);
    return life && life->started == started && life->state != 'Z' && life->state != 'X';
}

}  // namespace penstock
