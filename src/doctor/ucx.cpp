#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

// Of UCX_TLS, as `ucx_info -d` and the manual call them.
constexpr std::array<std::string_view, 22> rdma_words{
    "ib", "rc",   "rc_v",    "rc_x", "rc_verbs", "rc_mlx5", "ud",  "ud_v",      "ud_x",      "ud_verbs", "ud_mlx5",
    "dc", "dc_x", "dc_mlx5", "srd",  "gga_mlx5", "ugni",    "cxi", "ugni_rdma", "ugni_smsg", "ugni_udt", "gga"};
constexpr std::array<std::string_view, 27> other_words{
    "all",      "tcp",   "self",    "sm",        "shm",      "mm",       "posix",  "sysv",      "cma",
    "knem",     "xpmem", "cuda",    "cuda_copy", "cuda_ipc", "gdr_copy", "rocm",   "rocm_copy", "rocm_ipc",
    "rocm_gdr", "ze",    "ze_copy", "ze_ipc",    "ze_gdr",   "tcpcm",    "rdmacm", "sockcm",    "cuda_managed"};

template <std::size_t N>
[[nodiscard]] bool is_one_of(const std::array<std::string_view, N>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

[[nodiscard]] std::string suspects(const std::vector<std::string>& words) {
    std::vector<std::string> unknown;
    for (const std::string& word : words) {
        if (!is_one_of(rdma_words, word) && !is_one_of(other_words, word)) unknown.push_back(word);
    }
    return joined(unknown);
}

void check_tls(const System& system, Findings& findings) {
    std::string value = system.variable("UCX_TLS");
    if (value.empty()) return;
    const bool excludes = value.front() == '^';
    auto words = parts_of(excludes ? value.substr(1) : value, ',');
    for (std::string& word : words) {
        while (word.starts_with('\\')) word.erase(0, 1);     // "exactly this one"
        word.resize(std::min(word.find(':'), word.size()));  // "ud:aux"
    }
    if (const std::string unknown = suspects(words); !unknown.empty()) {
        findings.add("ucx-tls-unknown", "UCX_TLS is " + value + "; unknown: " + unknown);
    }
    const auto names = [&](auto&& match) { return std::any_of(words.begin(), words.end(), match); };
    const bool all = names([](const std::string& word) { return word == "all"; });
    const bool tcp = all || names([](const std::string& word) { return word == "tcp"; });
    const bool rdma = all || names([](const std::string& word) { return is_one_of(rdma_words, word); });
    const bool has_tcp = tcp != excludes;
    // Leaving out one kind of RDMA leaves the others.
    const bool all_rdma = all || names([](const std::string& word) { return word == "ib"; });
    const bool has_rdma = excludes ? !all_rdma : rdma;
    const bool has_device = has_verbs_device(system);
    if (!has_tcp && !(has_rdma && has_device)) {
        findings.add("ucx-tls-without-network",
                     "UCX_TLS is " + value + (has_rdma ? ", and there is no InfiniBand or RoCE device" : ""));
    } else if (has_device && !has_rdma) {
        findings.add("ucx-tls-without-rdma", "UCX_TLS is " + value);
    }
}

void check_devices(const System& system, Findings& findings) {
    const std::string value = system.variable("UCX_NET_DEVICES");
    if (value.empty() || value.front() == '^') return;
    std::vector<std::string> unknown;
    std::vector<std::string> known;
    for (const std::string& name : parts_of(value, ',')) {
        const std::string card = name.substr(0, name.find(':'));
        const bool is_there =
            name == "all" || system.exists("/sys/class/net/" + name) || system.exists("/sys/class/infiniband/" + card);
        (is_there ? known : unknown).push_back(name);
    }
    if (!unknown.empty()) {
        auto there = system.list("/sys/class/net");
        for (const RdmaDevice& device : rdma_devices(system)) there.push_back(device.name + ":1");
        findings.add(
            "ucx-device-unknown",
            fmt::format("UCX_NET_DEVICES is {}; unknown: {}; there are {}", value, joined(unknown), joined(there)),
            {.severity = known.empty() ? Severity::error : Severity::warning, .fix = {}});
    }
    if (known == std::vector<std::string>{"lo"} && has_several_nodes(system)) {
        findings.add("ucx-device-is-loopback", "UCX_NET_DEVICES is lo, and the job has several nodes");
    }
}

void check_ports(const System& system, const Needs& needs, Findings& findings) {
    const std::string value = system.variable("UCX_TCP_PORT_RANGE");
    if (value.empty() || value == "0") return;
    const auto ends = parts_of(value, '-');
    const std::uint64_t first = ends.empty() ? 0 : number_of(ends.front()).value_or(0);
    const std::uint64_t last = ends.empty() ? 0 : number_of(ends.back()).value_or(0);
    constexpr std::uint64_t highest = 65'535;
    if (ends.size() > 2 || first == 0 || first > last || last > highest) {
        findings.add("ucx-port-range-invalid", "UCX_TCP_PORT_RANGE is " + value);
        return;
    }
    if (const std::uint64_t ports = last - first + 1; ports < std::max(needs.ranks_here, 2U)) {
        findings.add("ucx-port-range-small", fmt::format("UCX_TCP_PORT_RANGE is {}: {} ports", value, ports));
    }
}

/// Where the library that this program uses has its plug-ins.
[[nodiscard]] std::string plugin_folder(const System& system) {
    for (const std::string& line : system.lines("/proc/self/maps")) {
        const auto file = line.find('/');
        if (file == std::string::npos || line.find("/libuct.so", file) == std::string::npos) continue;
        return line.substr(file, line.rfind('/') - file) + "/ucx";
    }
    return "";
}

[[nodiscard]] bool has_cuda(const System& system, const std::string& folder) {
    const auto names = system.list(folder);
    return std::any_of(names.begin(), names.end(),
                       [](const std::string& name) { return name.starts_with("libuct_cuda"); });
}

}  // namespace

void check_ucx(const System& system, const Needs& needs, Findings& findings) {
    if (needs.transports.contains("ucx")) {
        const std::string folder = plugin_folder(system);
        findings.add("ucx", folder.empty() ? "in this build" : "in this build, plug-ins in " + folder);
        if (gpus(system) > 0 && !folder.empty() && !has_cuda(system, folder)) {
            findings.add("ucx-without-cuda", "no libuct_cuda in " + folder);
        }
    } else if (has_several_nodes(system)) {
        findings.add("ucx-missing", "UCX is not in this build, and the job has several nodes");
    }
    check_tls(system, findings);
    check_devices(system, findings);
    check_ports(system, needs, findings);
}

}  // namespace penstock::doctor
