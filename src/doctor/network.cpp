#include <algorithm>
#include <cstdlib>

#include "base/quote.hpp"
#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

[[nodiscard]] bool is_up(const System& system, const std::string& interface) {
    const std::string flags = system.text("/sys/class/net/" + interface + "/flags");  // "0x1003"
    return (std::strtoul(flags.c_str(), nullptr, 16) & 1U) != 0;
}

/// Interfaces that are up and may lead to another node.
[[nodiscard]] std::vector<std::string> ways_out(const System& system) {
    std::vector<std::string> names;
    for (const std::string& name : system.list("/sys/class/net")) {
        const std::string folder = "/sys/class/net/" + name;
        const bool is_device = system.exists(folder + "/flags");
        if (is_device && name != "lo" && is_up(system, name) && !system.exists(folder + "/bridge"))
            names.push_back(name);
    }
    return names;
}

/// The address that /etc/hosts gives to a name. Name servers are not asked: they may take seconds not to answer.
[[nodiscard]] std::string listed_address(const System& system, const std::string& host) {
    for (const std::string& line : system.lines("/etc/hosts")) {
        const auto words = words_of(std::string_view{line}.substr(0, line.find('#')));
        if (std::find(words.begin(), words.end(), host) != words.end() && words.front() != host) return words.front();
    }
    return "";
}

}  // namespace

void check_network(const System& system, const Needs& needs, Findings& findings) {
    if (system.exists("/sys/class/net/lo/flags") && !is_up(system, "lo")) {
        findings.add("loopback-down", "interface lo is down");
    }
    const auto ways = ways_out(system);
    findings.add("network", ways.empty() ? "no interface but lo is up" : "up: " + joined(ways));
    const bool needs_others = has_several_nodes(system);
    if (ways.empty() && needs_others) findings.add("network-down", "no interface but lo is up");
    const bool has_fabric = !rdma_devices(system).empty();
    if (ways.size() > 1 && !has_fabric && needs.transports.contains("ucx") && !system.has_variable("UCX_NET_DEVICES")) {
        findings.add("network-ambiguous", joined(ways) + " are up, and UCX_NET_DEVICES is not set",
                     {.severity = needs_others ? Severity::warning : Severity::note, .fix = {}});
    }
    const std::string host = system.text("/proc/sys/kernel/hostname");
    if (const std::string address = listed_address(system, host); address.starts_with("127.")) {
        findings.add("hostname-is-loopback", "/etc/hosts gives " + in_quotes(host) + " the address " + address,
                     {.severity = needs_others ? Severity::warning : Severity::note, .fix = {}});
    }
}

}  // namespace penstock::doctor
