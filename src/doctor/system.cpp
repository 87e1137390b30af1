#include "doctor/system.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace penstock::doctor {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t most_bytes = std::size_t{1} << 20U;
constexpr int most_links = 16;

[[nodiscard]] std::string without_octal(std::string_view text) {
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
        int code = 0;
        const auto end = text.data() + std::min(i + 4, text.size());
        if (text[i] == '\\' && std::from_chars(text.data() + i + 1, end, code, 8).ptr == text.data() + i + 4) {
            plain += static_cast<char>(code);
            i += 3;
        } else {
            plain += text[i];
        }
    }
    return plain;
}

[[nodiscard]] bool lies_below(std::string_view path, std::string_view folder) noexcept {
    if (folder == "/") return path.starts_with('/');
    return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace

System::System(std::string root, std::map<std::string, std::string, std::less<>> environment, Probes probes)
    : root_{std::move(root)}, environment_{std::move(environment)}, probes_{std::move(probes)} {
    while (root_.ends_with('/')) root_.pop_back();
}

System System::here() {
    std::map<std::string, std::string, std::less<>> environment;
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
        const std::string_view text{*entry};
        const auto end = text.find('=');
        if (end != std::string_view::npos) environment.emplace(text.substr(0, end), text.substr(end + 1));
    }
    return {"/", std::move(environment), Probes::real()};
}

std::optional<std::string> System::read(std::string_view path) const {
    std::error_code failed;
    if (fs::is_directory(at(path), failed)) return std::nullopt;
    std::ifstream file{at(path), std::ios::binary};
    if (!file) return std::nullopt;
    std::string content(4096, '\0');
    std::size_t used = 0;
    while (used < most_bytes) {
        if (used == content.size()) content.resize(content.size() * 2);
        file.read(content.data() + used, static_cast<std::streamsize>(content.size() - used));
        const auto count = static_cast<std::size_t>(file.gcount());
        used += count;
        if (count == 0) break;
    }
    if (file.bad()) return std::nullopt;
    content.resize(used);
    while (content.ends_with('\n')) content.pop_back();
    return content;
}

std::optional<std::uint64_t> System::number(std::string_view path) const {
    const auto words = words_of(text(path));
    return words.empty() ? std::nullopt : number_of(words.front());
}

std::vector<std::string> System::lines(std::string_view path) const {
    const auto content = read(path);
    return content ? parts_of(*content, '\n') : std::vector<std::string>{};
}

std::vector<std::string> System::list(std::string_view path) const {
    std::vector<std::string> names;
    std::error_code failed;
    for (fs::directory_iterator entry{at(path), failed}, end; !failed && entry != end; entry.increment(failed)) {
        names.push_back(entry->path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
}

bool System::exists(std::string_view path) const {
    std::error_code failed;
    return fs::exists(at(resolve(path)), failed);
}

std::string System::resolve(std::string_view path) const {
    fs::path whole = fs::path{path}.lexically_normal();
    for (int links = 0; links < most_links; ++links) {
        fs::path reached;
        bool found = false;
        for (auto part = whole.begin(); part != whole.end() && !found; ++part) {
            reached /= *part;
            std::error_code failed;
            const fs::path target = fs::read_symlink(at(reached.string()), failed);
            if (failed || target.empty()) continue;
            fs::path next = (reached.parent_path() / target);  // an absolute target replaces all before it
            for (++part; part != whole.end(); ++part) next /= *part;
            whole = next.lexically_normal();
            found = true;
            break;
        }
        if (!found) break;
    }
    std::string text = whole.string();
    while (text.size() > 1 && text.ends_with('/')) text.pop_back();
    return text;
}

std::optional<System::Owned> System::owned(std::string_view path) const {
    struct stat about {};
    if (::lstat(at(path).c_str(), &about) != 0) return std::nullopt;
    return Owned{.user = about.st_uid, .bytes = static_cast<std::uint64_t>(about.st_blocks) * 512U};
}

std::string System::variable(std::string_view name) const {
    const auto found = environment_.find(name);
    return found == environment_.end() ? "" : found->second;
}

std::optional<std::uint64_t> System::count(std::string_view name) const {
    return number_of(variable(name));
}

std::optional<std::uint64_t> System::limit(std::string_view name) const {
    for (const std::string& line : lines("/proc/self/limits")) {
        if (!line.starts_with(name)) continue;
        const auto words = words_of(std::string_view{line}.substr(name.size()));
        return words.empty() ? std::nullopt : number_of(words.front());
    }
    return std::nullopt;
}

std::string System::status(std::string_view name) const {
    for (const std::string& line : lines("/proc/self/status")) {
        if (!line.starts_with(name) || line.size() <= name.size() || line[name.size()] != ':') continue;
        const auto start = line.find_first_not_of(" \t", name.size() + 1);
        return start == std::string::npos ? "" : line.substr(start);
    }
    return "";
}

std::uint32_t System::user() const {
    const auto ids = words_of(status("Uid"));
    return static_cast<std::uint32_t>(ids.size() < 2 ? 0 : number_of(ids[1]).value_or(0));
}

std::vector<std::string> System::programs(std::string_view name) const {
    std::vector<std::string> found;
    for (const std::string& folder : parts_of(variable("PATH"), ':')) {
        if (!folder.starts_with('/')) continue;
        const std::string path = folder + "/" + std::string{name};
        if (!exists(path)) continue;
        std::string real = resolve(path);
        if (std::find(found.begin(), found.end(), real) == found.end()) found.push_back(std::move(real));
    }
    return found;
}

Mount mount_of(const System& system, const std::string& path) {
    const std::string real = system.resolve(path);
    Mount found{.point = "", .type = "unknown"};
    for (const std::string& line : system.lines("/proc/self/mountinfo")) {
        const auto words = words_of(line);
        const auto dash = std::find(words.begin(), words.end(), "-");
        if (words.size() < 6 || words.end() - dash < 2) continue;
        const std::string point = without_octal(words[4]);
        // The last one of a place hides those before it.
        if (!lies_below(real, point) || point.size() < found.point.size()) continue;
        const auto options = parts_of(words[5], ',');
        found = {.point = point,
                 .type = dash[1],
                 .read_only = std::find(options.begin(), options.end(), "ro") != options.end()};
    }
    return found;
}

bool is_network_type(std::string_view type) noexcept {
    constexpr std::array<std::string_view, 14> types{"nfs",       "nfs4",   "lustre", "gpfs", "beegfs",
                                                     "ceph",      "cifs",   "smb3",   "afs",  "fuse.sshfs",
                                                     "fuse.ceph", "wekafs", "pvfs2",  "panfs"};
    return std::find(types.begin(), types.end(), type) != types.end();
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> words;
    constexpr std::string_view blank = " \t\n\r";
    while (true) {
        const auto start = text.find_first_not_of(blank);
        if (start == std::string_view::npos) return words;
        text.remove_prefix(start);
        const auto end = std::min(text.find_first_of(blank), text.size());
        words.emplace_back(text.substr(0, end));
        text.remove_prefix(end);
    }
}

std::vector<std::string> parts_of(std::string_view text, char separator) {
    std::vector<std::string> parts;
    while (!text.empty()) {
        const auto end = std::min(text.find(separator), text.size());
        if (end > 0) parts.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return parts;
}

std::optional<std::uint64_t> number_of(std::string_view text) noexcept {
    std::uint64_t number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failed != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return number;
}

}  // namespace penstock::doctor
