#include "runtime/parking_policy.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace penstock {
namespace {

/// Busy for more than this beyond the target, it is no longer on average but because there is too much to do.
constexpr double band = 0.1;
/// Who is busy all the time says nothing about how much more there is to do.
constexpr double saturated = 0.95;
constexpr int longest_patience = 256;
/// An instance that is needed again so soon should not have been parked.
constexpr int soon = 8;

}  // namespace

ParkingPolicy::ParkingPolicy(std::size_t instances, double target)
    : target_{target}, records_(instances), parked_(instances), active_{instances} {}

double ParkingPolicy::Record::rate() const noexcept {
    constexpr double least_s = 1e-3;  // below it is noise
    return busy_s >= least_s ? payloads / busy_s : 0;
}

double ParkingPolicy::weight(std::size_t instance) const noexcept {
    double best = 0;
    for (const Record& each : records_) best = std::max(best, each.rate());
    const double own = records_[instance].rate();
    return own > 0 ? own / best : 1;
}

void ParkingPolicy::learn(const std::vector<Load>& loads) {
    // Both sums fade alike: a call may take many looks, and its payload counts at the last of them.
    constexpr double kept = 31.0 / 32;
    for (std::size_t i = 0; i < loads.size(); ++i) {
        if (loads[i].busy_s <= 0) continue;
        records_[i].payloads = kept * records_[i].payloads + static_cast<double>(loads[i].payloads);
        records_[i].busy_s = kept * records_[i].busy_s + loads[i].busy_s;
    }
}

ParkingPolicy::Decision ParkingPolicy::look(const std::vector<Load>& loads, bool starves) {
    learn(loads);
    if (since_parked_ <= soon) ++since_parked_;
    const std::size_t all = parked_.size();
    const double work =
        std::accumulate(loads.begin(), loads.end(), 0.0, [](double sum, const Load& load) { return sum + load.busy; });
    const bool is_stuck = starves && std::ranges::all_of(loads, [](const Load& load) { return load.payloads == 0; });
    const double mean = work / static_cast<double>(active_);
    const double most = std::min(target_ + band, saturated);
    const double calm = std::max(target_ - band, target_ / 2);
    const auto shared_at = [&](double utilization) { return static_cast<std::size_t>(std::ceil(work / utilization)); };
    std::string reason =
        fmt::format("{} of {} instances were busy for {:.0f} % of their time, and the target is {:.0f} %", active_, all,
                    100 * mean, 100 * target_);
    if (is_stuck) reason = fmt::format("payloads wait, and {} of {} instances were through with none", active_, all);
    if (active_ < all && (mean > most || is_stuck)) {
        const std::size_t wanted = std::max(mean >= saturated ? 2 * active_ : active_ + 1, shared_at(target_));
        calm_ = 0;
        if (since_parked_ <= soon) patience_ = std::min(2 * patience_, longest_patience);
        return change(std::min(wanted, all) - active_, false, std::move(reason));
    }
    const bool fewer_suffice = active_ > 1 && target_ > 0 && work <= calm * static_cast<double>(active_ - 1);
    calm_ = fewer_suffice && !is_stuck ? calm_ + 1 : 0;
    if (calm_ == 0 || calm_ < patience_) return {};
    calm_ = 0;
    since_parked_ = 0;
    // Half the way at a time: what the others take over is seen before the next step.
    const std::size_t surplus = active_ - std::clamp<std::size_t>(shared_at(calm), 1, active_ - 1);
    return change((surplus + 1) / 2, true, std::move(reason));
}

/// Parks the slowest, unparks the fastest; of equal ones those with the highest and the lowest number.
ParkingPolicy::Decision ParkingPolicy::change(std::size_t count, bool parks, std::string reason) {
    Decision decision{.instances = {}, .parks = parks, .reason = std::move(reason)};
    for (; count > 0; --count) {
        std::optional<std::size_t> best;
        for (std::size_t i = 0; i < parked_.size(); ++i) {
            if (parked_[i] == parks) continue;
            if (!best || (parks ? weight(i) <= weight(*best) : weight(i) > weight(*best))) best = i;
        }
        if (!best) break;
        parked_[*best] = parks;
        decision.instances.push_back(*best);
    }
    active_ = static_cast<std::size_t>(std::ranges::count(parked_, false));
    return decision;
}

}  // namespace penstock
