#include "runtime/progress.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/format.hpp"

namespace penstock {
namespace {

constexpr auto terminal_period = std::chrono::milliseconds{500};
constexpr auto plain_period = std::chrono::seconds{10};

void write_all(const std::string& text) {
    // Progress is a courtesy: if nobody takes it, the run goes on.
    if (write(STDERR_FILENO, text.data(), text.size()) < 0) return;
}

}  // namespace

ProgressView::ProgressView(const Plan& plan, bool enabled)
    : plan_{plan}, enabled_{enabled}, terminal_{isatty(STDERR_FILENO) != 0} {
    winsize size{};
    if (terminal_ && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) columns_ = size.ws_col;
}

void ProgressView::show(const RunSnapshot& run) {
    if (!enabled_) return;
    const auto now = SteadyClock::now();
    const auto passed = now - shown_at_;
    if (passed < (terminal_ ? std::chrono::nanoseconds{terminal_period} : std::chrono::nanoseconds{plain_period}))
        return;
    const std::string text = line(run, std::chrono::duration<double>(passed).count());
    shown_at_ = now;
    last_ = run;
    drawn_ = terminal_;
    write_all(terminal_ ? "\r\033[K" + text.substr(0, columns_ - 1) : text + "\n");
}

void ProgressView::end() {
    if (drawn_) write_all("\r\033[K");
    drawn_ = false;
}

/// Per stage: payloads it has received (a source: sent), records if it counts them, bytes, and how full its queues are.
std::string ProgressView::line(const RunSnapshot& run, double seconds) {
    std::string text = fmt::format("{:.0f} s", run.elapsed_s);
    for (std::size_t stage = 0; stage < plan_.stages.size(); ++stage) {
        const PlannedStage& planned = plan_.stages[stage];
        const auto& channels = planned.inputs.empty() ? planned.outputs : planned.inputs;
        std::uint64_t payloads = 0;
        std::uint64_t bytes = 0;
        std::uint64_t bytes_before = 0;
        std::uint64_t queued = 0;
        std::uint64_t room = 0;
        for (const std::uint16_t channel : channels) {
            const ChannelTotals now = channel_totals(plan_, run, channel);
            payloads += planned.inputs.empty() ? now.published - now.dropped : now.delivered;
            bytes += now.bytes;
            if (!last_.instances.empty()) bytes_before += channel_totals(plan_, last_, channel).bytes;
            if (planned.inputs.empty()) continue;
            queued += now.queued;
            room += std::uint64_t{plan_.channels[channel].capacity} * static_cast<std::uint64_t>(planned.instances);
        }
        const std::uint64_t records = counter_total(plan_, run, stage, "records");
        const std::uint64_t before = last_.instances.empty() ? 0 : counter_total(plan_, last_, stage, "records");
        text += fmt::format(" | {} {} batches", planned.name, payloads);
        if (records > 0)
            text += fmt::format(" {} records/s",
                                static_cast<std::uint64_t>(static_cast<double>(records - before) / seconds));
        text += fmt::format(
            " {}/s", format_bytes(static_cast<std::uint64_t>(static_cast<double>(bytes - bytes_before) / seconds)));
        if (room > 0) text += fmt::format(" queue {}%", queued * 100 / room);
    }
    return text;
}

}  // namespace penstock
