#include "transports/ofi/watch.hpp"

#include <algorithm>

namespace penstock::ofi {

Watch::Watch(Wire& wire, const std::vector<RemoteArena>& arenas, Rank self)
    : wire_{wire}, arenas_{arenas}, self_{self}, into_(arenas.size()) {
    if (!wire.device().reads()) return;
    if (wire.device().needs_descriptors()) {
        region_ = wire.device().register_memory(into_.data(), into_.size() * sizeof into_[0], false);
    }
    for (Rank rank = 0; rank < arenas.size(); ++rank) {
        One& one = all_.emplace_back();
        one.operation.role = Operation::Role::watch;
        one.operation.peer = rank;
    }
    next_ = SteadyClock::now() + period;
}

void Watch::begin(Rank rank) {
    One& one = all_[rank];
    if (rank == self_ || one.is_under_way || !wire_.is_met(rank) || arenas_[rank].bytes < sizeof into_[0]) return;
    const auto into = std::as_writable_bytes(std::span{into_}.subspan(rank, 1));
    const RemoteArena& arena = arenas_[rank];
    one.is_under_way = wire_.took(
        rank, wire_.endpoint().read(rank, into, region_.descriptor(), arena.begin, arena.key, one.operation));
}

void Watch::on_completed(const Completion& completion) {
    const Rank rank = completion.operation->peer;
    all_[rank].is_under_way = false;
    wire_.on_completed(rank);
    if (completion.error != 0) wire_.add_broken(rank, completion.what);
}

}  // namespace penstock::ofi
