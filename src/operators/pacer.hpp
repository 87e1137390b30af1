#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include <penstock/operator.hpp>

#include "base/clock.hpp"

namespace penstock {

/// A parameter of kind duration.
[[nodiscard]] inline SteadyClock::duration duration_param(const Params& params, std::string_view name) {
    const std::chrono::duration<double, std::milli> value{params.get<double>(name)};
    return std::chrono::duration_cast<SteadyClock::duration>(value);
}

/// Holds a source to one payload an interval. The deadlines are counted from the first payload, so they do not drift.
class Pacer {
public:
    Pacer(StageContext& context, SteadyClock::duration interval) : context_{context}, interval_{interval} {}

    /// Waits until payload `number`, from 0, is due. @return false if the run is stopping.
    [[nodiscard]] bool wait(std::uint64_t number) {
        if (interval_ == SteadyClock::duration::zero()) return true;
        if (first_ == SteadyClock::time_point{}) first_ = SteadyClock::now();
        return context_.wait_until(first_ + interval_ * static_cast<SteadyClock::rep>(number));
    }

private:
    StageContext& context_;
    SteadyClock::duration interval_;
    SteadyClock::time_point first_{};
};

}  // namespace penstock
