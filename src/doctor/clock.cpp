#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "doctor/checks.hpp"
#include "doctor/machine_facts.hpp"

namespace penstock::doctor {
namespace {

/// Read without entering the kernel.
constexpr std::array<std::string_view, 5> fast_clocks{"tsc", "kvm-clock", "arch_sys_counter",
                                                      "hyperv_clocksource_tsc_page", "timebase"};

/// Of all time since the machine started, the share that its host gave to others.
[[nodiscard]] double stolen_share(const System& system) {
    const auto words =
        words_of(system.text("/proc/stat").substr(0, 1024));  // "cpu user nice system idle iowait irq softirq steal"
    constexpr std::size_t steal = 8;
    if (words.size() <= steal || words[0] != "cpu") return 0;
    double all = 0;
    for (std::size_t i = 1; i <= steal; ++i) all += static_cast<double>(number_of(words[i]).value_or(0));
    return all == 0 ? 0 : static_cast<double>(number_of(words[steal]).value_or(0)) / all;
}

}  // namespace

void check_clock(const System& system, const Needs&, Findings& findings) {
    const std::string kernel = system.text("/proc/sys/kernel/osrelease");
    if (!kernel.empty()) {
        findings.add("kernel", "Linux " + kernel);
        if (kernel_of(system) < Kernel{5, 3}) findings.add("kernel-too-old", "Linux " + kernel);
    }
    const std::string clock = system.text("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    if (!clock.empty()) {
        findings.add("clock", "the kernel's clock is " + clock);
        if (std::find(fast_clocks.begin(), fast_clocks.end(), clock) == fast_clocks.end()) {
            findings.add("clock-slow",
                         "the kernel's clock is " + clock + ", there are " +
                             system.text("/sys/devices/system/clocksource/clocksource0/available_clocksource"));
        }
    }
    constexpr double much = 0.05;
    if (const double stolen = stolen_share(system); stolen > much) {
        findings.add("processor-time-stolen",
                     fmt::format("{:.0f} % of the time since the machine started", stolen * 100));
    }
}

}  // namespace penstock::doctor
