#include "launch/host_links.hpp"

#include <algorithm>

namespace penstock {
namespace {

/// Stages that send each other frames, or fetch a blob that others have handed on.
[[nodiscard]] std::vector<std::pair<std::uint16_t, std::uint16_t>> exchanging_stages(const Plan& plan) {
    std::vector<std::pair<std::uint16_t, std::uint16_t>> pairs;
    for (std::uint16_t from = 0; from < plan.stages.size(); ++from) {
        std::vector<std::uint16_t> to_visit = plan.stages[from].outputs;
        std::vector<bool> seen(plan.channels.size(), false);
        while (!to_visit.empty()) {
            const std::uint16_t number = to_visit.back();
            to_visit.pop_back();
            if (seen[number]) continue;
            seen[number] = true;
            const PlannedChannel& channel = plan.channels[number];
            const bool copies = channel.by == PassBy::value;
            if (copies && (channel.dispatch == Dispatch::central || channel.from != from)) continue;
            pairs.emplace_back(from, channel.to);
            if (copies) continue;
            const auto& next = plan.stages[channel.to].outputs;
            to_visit.insert(to_visit.end(), next.begin(), next.end());
        }
    }
    std::ranges::sort(pairs);
    const auto again = std::unique(pairs.begin(), pairs.end());
    pairs.erase(again, pairs.end());
    return pairs;
}

}  // namespace

HostLinks::HostLinks(const Plan& plan, const std::vector<std::string>& hosts) : exchanging_{exchanging_stages(plan)} {
    std::map<std::string, Host> numbers;
    for (Rank rank = 0; rank < hosts.size(); ++rank) {
        const Host host = numbers.emplace(hosts[rank], numbers.size()).first->second;
        host_of_.push_back(host);
        if (rank > 0) ranks_[{host, plan.place(rank).stage}].push_back(rank);
    }
    hosts_ = numbers.size();
}

const std::vector<Rank>& HostLinks::ranks_of(Host host, Stage stage) const {
    static const std::vector<Rank> none;
    const auto found = ranks_.find({host, stage});
    return found == ranks_.end() ? none : found->second;
}

/// The same whichever of them is asked about first, but for the order of the ends.
std::optional<HostLinks::Ends> HostLinks::watchers_of(Host one, Host other) const {
    const auto end_of = [&](Host host, Stage stage, Host beyond) -> std::optional<Rank> {
        const auto& ranks = ranks_of(host, stage);
        if (ranks.empty()) return std::nullopt;
        return ranks[beyond % ranks.size()];
    };
    for (const auto& [up, down] : exchanging_) {
        const auto up_here = end_of(one, up, other);
        const auto down_there = end_of(other, down, one);
        const auto up_there = end_of(other, up, one);
        const auto down_here = end_of(one, down, other);
        const bool sends = up_here && down_there;
        const bool receives = up_there && down_here;
        if (sends && (!receives || one < other)) return Ends{*up_here, *down_there};
        if (receives) return Ends{*down_here, *up_there};
    }
    return std::nullopt;
}

std::vector<Rank> HostLinks::watched_by(Rank rank) const {
    std::vector<Rank> others;
    const Host here = host_of_[rank];
    if (here == host_of_[0]) return others;
    for (Host there = 0; there < hosts_; ++there) {
        if (there == here || there == host_of_[0]) continue;
        const auto ends = watchers_of(here, there);
        if (ends && ends->one == rank) others.push_back(ends->other);
    }
    return others;
}

std::vector<HostLinks::Ends> HostLinks::between(Rank one, Rank other) const {
    std::vector<Ends> all;
    const Host here = host_of_[one];
    const Host there = host_of_[other];
    if (here == there) return all;
    const auto add = [&](Stage at_one, Stage at_other) {
        for (const Rank first : ranks_of(here, at_one)) {
            for (const Rank second : ranks_of(there, at_other)) all.push_back({first, second});
        }
    };
    for (const auto& [up, down] : exchanging_) {
        add(up, down);
        add(down, up);
    }
    return all;
}

}  // namespace penstock
