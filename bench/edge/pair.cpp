#include "edge/pair.hpp"

#include <cstdio>
#include <stdexcept>

#include "launch/local_processes.hpp"

namespace penstock::bench {

ChannelShape Party::shape(std::uint16_t number, Rank from, Rank to, const Options& options) {
    return {.number = number,
            .name = number == 0 ? "there" : "back",
            .transport = options.transport,
            .first_sender = from,
            .senders = 1,
            .first_receiver = to,
            .receivers = 1,
            .capacity = options.capacity,
            .capacity_bytes = options.arena_bytes};
}

Party::Party(Bootstrap& bootstrap, const Options& options)
    : arena_{options.arena_bytes},
      transports_{bootstrap, arena_, {options.transport}},
      reactor_{transports_, {.idle = options.idle, .cores_to_spare = true}},
      drafts_{bootstrap.rank(), arena_, bodies_, reactor_},
      out_{bootstrap.rank() == 0 ? shape(0, 0, 1, options) : shape(1, 1, 0, options), reactor_, drafts_, out_status_},
      in_{bootstrap.rank() == 0 ? shape(1, 1, 0, options) : shape(0, 0, 1, options),
          reactor_,
          drafts_,
          arena_,
          bodies_,
          ready_,
          in_status_} {
    reactor_.set_fetched([this](std::uint64_t token) {
        in_.on_fetched(*reinterpret_cast<PayloadBody*>(static_cast<std::uintptr_t>(token)));
    });
}

Payload Party::receive() {
    while (ready_.empty()) {
        if (reactor_.poll()) continue;
        in_.flush_returns();
        if (in_.ended() && ready_.empty()) return Payload{};
        reactor_.wait(Activity::waiting_for_input, 0);
    }
    in_.taken();
    return Payload{ready_.pop()};
}

void Party::done(Payload payload) {
    const std::uint32_t edge = payload.body()->edge;
    const std::uint64_t bytes = payload.size_bytes();
    payload = Payload{};
    in_.return_credit(edge, bytes);
}

void Party::finish() {
    out_.end();
    while (Payload late = receive()) done(std::move(late));
    in_.acknowledge();
    while (!out_.finished() || !reactor_.drained()) reactor_.wait(Activity::done, 0, std::chrono::milliseconds{1});
}

void run_pair(const Party::Options& options, const std::optional<std::pair<int, int>>& cpus,
              const std::function<void(Party&)>& first, const std::function<void(Party&)>& second) {
    const auto play = [&options](Bootstrap& bootstrap, const std::function<void(Party&)>& role) {
        Party party{bootstrap, options};
        static_cast<void>(bootstrap.allgather("up"));
        role(party);
        static_cast<void>(bootstrap.allgather("done"));  // nobody leaves while the other still reads
    };
    if (options.world != nullptr) return play(*options.world, options.world->rank() == 0 ? first : second);
    LocalProcesses processes{2, std::chrono::seconds{60}, [](Rank rank) { return "rank " + std::to_string(rank); },
                             [&](Rank, Bootstrap& bootstrap) {
                                 try {
                                     if (cpus) pin_to(cpus->second);
                                     play(bootstrap, second);
                                     return 0;
                                 } catch (const std::exception& error) {
                                     std::fprintf(stderr, "consumer: %s\n", error.what());
                                     return 1;
                                 }
                             }};
    const auto before = allowed_cpus();
    if (cpus) pin_to(cpus->first);
    play(processes, first);
    if (cpus) pin_to(before);
    if (processes.reap(std::chrono::seconds{5}) != 0) throw std::runtime_error{"the consumer did not end"};
}

}  // namespace penstock::bench
