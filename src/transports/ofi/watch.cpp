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
    const std::uint32_t first_has = lanes_.front().all[rank].answers;
    for (Lane& lane : lanes_) {
        One& one = lane.all[rank];
        if (!one.is_under_way) {
            one.first_had = first_has;
            begin(rank, lane);
        } else if (first_has - one.first_had > answers_until_silence_counts) {
            wire_.add_broken(one.operation, "it does not answer");
        }
    }
}

void Watch::begin(Rank rank, Lane& lane) {
    One& one = lane.all[rank];
    const std::uint32_t rail = one.operation.rail;
    const RemoteArena& arena = arenas_[rail][rank];
    if (!wire_.is_met(rank, rail) || arena.bytes < sizeof lane.into[0]) return;
    const auto into = std::as_writable_bytes(std::span{lane.into}.subspan(rank, 1));
    one.is_under_way = wire_.took(one.operation, wire_.endpoint(rail).read(rank, into, lane.region.descriptor(),
                                                                           arena.begin, arena.key, one.operation));
}

void Watch::on_completed(const Completion& completion) {
    const Operation& operation = *completion.operation;
    One& one = lanes_[operation.rail].all[operation.peer];
    one.is_under_way = false;
    wire_.on_completed(operation);
    if (completion.error != 0) {
        wire_.add_broken(operation, completion.what);
    } else {
        ++one.answers;
    }
}

}  // namespace penstock::ofi
