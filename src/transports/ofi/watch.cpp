#include "transports/ofi/watch.hpp"

#include <algorithm>

namespace penstock::ofi {

Watch::Watch(Wire& wire, const RemoteArenas& arenas, Rank self) : wire_{wire}, arenas_{arenas}, self_{self} {
    if (!wire.device().reads()) return;
    lanes_.resize(wire.rails());
    for (std::uint32_t rail = 0; rail < wire.rails(); ++rail) {
        Lane& lane = lanes_[rail];
        lane.into.resize(wire.ranks());
        if (wire.device(rail).needs_descriptors()) {
            lane.region =
                wire.device(rail).register_memory(lane.into.data(), lane.into.size() * sizeof lane.into[0], false);
        }
        for (Rank rank = 0; rank < wire.ranks(); ++rank) {
            One& one = lane.all.emplace_back();
            one.operation.role = Operation::Role::watch;
            one.operation.peer = rank;
            one.operation.rail = rail;
        }
    }
    next_ = SteadyClock::now() + period;
}

void Watch::begin(Rank rank) {
    if (rank == self_) return;
    for (std::uint32_t rail = 0; rail < lanes_.size(); ++rail) {
        Lane& lane = lanes_[rail];
        One& one = lane.all[rank];
        const RemoteArena& arena = arenas_[rail][rank];
        if (one.is_under_way || !wire_.is_met(rank, rail) || arena.bytes < sizeof lane.into[0]) continue;
        const auto into = std::as_writable_bytes(std::span{lane.into}.subspan(rank, 1));
        one.is_under_way = wire_.took(one.operation, wire_.endpoint(rail).read(rank, into, lane.region.descriptor(),
                                                                               arena.begin, arena.key, one.operation));
    }
}

void Watch::on_completed(const Completion& completion) {
    const Operation& operation = *completion.operation;
    lanes_[operation.rail].all[operation.peer].is_under_way = false;
    wire_.on_completed(operation);
    if (completion.error != 0) wire_.add_broken(operation, completion.what);
}

}  // namespace penstock::ofi
