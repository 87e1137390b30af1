#include "operators/hdf5/stage_group.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <thread>

namespace penstock::hdf5 {
namespace {

using namespace std::chrono_literals;

constexpr int ask_tag = 1;

/// With naps: MPI's own waits keep a processor busy. All are known to come.
void wait_for(MPI_Request request) {
    std::chrono::microseconds nap = 10us;
    for (int done = 0;;) {
        MPI_Test(&request, &done, MPI_STATUS_IGNORE);
        if (done != 0) return;
        std::this_thread::sleep_for(nap);
        nap = std::min<std::chrono::microseconds>(nap * 2, 500us);
    }
}

/// Without the name of its code, which it gets again.
std::string message_of(const Error& error) {
    const std::string text = error.what();
    const std::string name = std::string{name_of(error.code())} + ": ";
    return text.starts_with(name) ? text.substr(name.size()) : text;
}

}  // namespace

StageGroup::StageGroup(int communicator) : state_{std::make_unique<State>()} {
    MPI_Comm copy = MPI_COMM_NULL;
    MPI_Comm_dup(MPI_Comm_f2c(communicator), &copy);
    state_->comm = UniqueHandle<CommTraits>{copy};
    MPI_Comm_rank(copy, &instance_);
    MPI_Comm_size(copy, &instances_);
    state_->all.resize(static_cast<std::size_t>(instances_));
}

StageGroup::~StageGroup() {
    if (state_->gathering == MPI_REQUEST_NULL) return;
    // After a failure: the others may still join in.
    (void)state_.release();
}

void StageGroup::ask(std::uint64_t round) {
    if (round <= asked_) return;
    asked_ = round;
    // Everybody looks for messages before joining in a round, so those for an earlier one have arrived.
    auto& sends = state_->sends;
    if (!sends.empty()) MPI_Waitall(static_cast<int>(sends.size()), sends.data(), MPI_STATUSES_IGNORE);
    sends.clear();
    sends.reserve(static_cast<std::size_t>(instances_));
    state_->asking = round;
    for (int other = 0; other < instances_; ++other) {
        if (other == instance_) continue;
        MPI_Isend(&state_->asking, sizeof round, MPI_BYTE, other, ask_tag, communicator(),
                  &sends.emplace_back(MPI_REQUEST_NULL));
    }
}

std::uint64_t StageGroup::asked() {
    for (;;) {
        int found = 0;
        MPI_Message message = MPI_MESSAGE_NULL;
        MPI_Improbe(MPI_ANY_SOURCE, ask_tag, communicator(), &found, &message, MPI_STATUS_IGNORE);
        if (found == 0) return asked_;
        std::uint64_t round = 0;
        MPI_Mrecv(&round, sizeof round, MPI_BYTE, &message, MPI_STATUS_IGNORE);
        asked_ = std::max(asked_, round);
    }
}

void StageGroup::join(const Contribution& mine) {
    State& state = *state_;
    state.mine = mine;
    MPI_Iallgather(&state.mine, sizeof mine, MPI_BYTE, state.all.data(), sizeof mine, MPI_BYTE, communicator(),
                   &state.gathering);
}

bool StageGroup::has_met() {
    int done = 0;
    MPI_Test(&state_->gathering, &done, MPI_STATUS_IGNORE);
    return done != 0;
}

void StageGroup::agree(const std::optional<Error>& failure) {
    const int mine = failure ? instance_ : instances_;
    int first = instances_;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Iallreduce(&mine, &first, 1, MPI_INT, MPI_MIN, communicator(), &request);
    wait_for(request);
    if (first == instances_) return;
    std::string text = failure ? message_of(*failure) : "";
    std::array<std::uint64_t, 2> head{failure ? static_cast<std::uint64_t>(failure->code()) : 0, text.size()};
    MPI_Bcast(head.data(), sizeof head, MPI_BYTE, first, communicator());
    text.resize(head[1]);
    MPI_Bcast(text.data(), static_cast<int>(text.size()), MPI_BYTE, first, communicator());
    throw Error{static_cast<Errc>(head[0]), text};
}

}  // namespace penstock::hdf5
