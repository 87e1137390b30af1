#include "launch/mpi_world.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <exception>
#include <thread>

#include <dlfcn.h>
#include <mpi.h>

#include "base/clock.hpp"
#include "base/cores.hpp"
#include "base/unique_handle.hpp"
#include "launch/pmix_world.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

constexpr int gather_tag = 32001;
/// The first rank gives up before the others, as it alone knows who is missing.
constexpr std::chrono::seconds head_start = 2s;
constexpr std::size_t most_ranks_named = 8;

struct CommTraits {
    using Handle = MPI_Comm;
    static Handle null() noexcept { return MPI_COMM_NULL; }
    static void release(Handle handle) noexcept { MPI_Comm_free(&handle); }
};
using CommHandle = UniqueHandle<CommTraits>;

/// To ask MPI costs some 20 us, and more ranks than processors would ask for nothing but each other's time.
[[nodiscard]] std::chrono::microseconds longest_nap(Rank ranks) {
    const std::size_t ranks_per_cpu = ranks / std::max<std::size_t>(usable_cpus().size(), 1);
    return std::clamp<std::size_t>(ranks_per_cpu, 1, 16) * 1ms;
}

[[nodiscard]] bool has_completed(MPI_Request& request) {
    int done = 0;
    MPI_Test(&request, &done, MPI_STATUS_IGNORE);
    return done != 0;
}

[[nodiscard]] std::string time_text(std::chrono::milliseconds time) {
    return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s" : std::to_string(time.count()) + " ms";
}

[[nodiscard]] std::string first_line(const std::string& text) {
    return text.substr(0, text.find_first_of(",\n"));
}

[[nodiscard]] std::string library_version() {
    std::string text(MPI_MAX_LIBRARY_VERSION_STRING, '\0');
    int length = 0;
    MPI_Get_library_version(text.data(), &length);
    text.resize(static_cast<std::size_t>(length));
    return first_line(text);
}

[[nodiscard]] const char* thread_level() {
    int level = MPI_THREAD_SINGLE;
    MPI_Query_thread(&level);
    switch (level) {
        case MPI_THREAD_SINGLE: return "single";
        case MPI_THREAD_FUNNELED: return "funneled";
        case MPI_THREAD_SERIALIZED: return "serialized";
        default: return "multiple";
    }
}

/// Open MPI's message layer (PML). No call tells which one it selected; its table of functions does: the first of them
/// lies in the layer's plug-in, whose file has its name.
[[nodiscard]] std::string message_layer() {
    const auto* table = static_cast<const void* const*>(dlsym(RTLD_DEFAULT, "mca_pml"));
    Dl_info info{};
    if (table == nullptr || *table == nullptr || dladdr(*table, &info) == 0) return "unknown message layer";
    const std::string file = info.dli_fname;
    const std::string mark = "mca_pml_";
    const auto at = file.rfind(mark);
    if (at == std::string::npos) return "message layer built into " + file;
    const auto start = at + mark.size();
    return "message layer " + file.substr(start, file.find('.', start) - start);
}

[[nodiscard]] std::string name_ranks(const std::vector<Rank>& ranks) {
    std::string text;
    for (std::size_t i = 0; i < std::min(ranks.size(), most_ranks_named); ++i) {
        text += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
    }
    if (ranks.size() > most_ranks_named) text += " and " + std::to_string(ranks.size() - most_ranks_named) + " more";
    return text;
}

}  // namespace

struct MpiWorld::State {
    CommHandle stage;
    bool leaving = false;
    MPI_Request parting = MPI_REQUEST_NULL;
    bool broken = false;  ///< A collective call did not end; there can be no other.
    // MPI may still use these after a time-out.
    std::string mine;
    std::vector<std::uint64_t> sizes;
    std::string data;
};

MpiWorld::MpiWorld(std::chrono::milliseconds timeout) : state_{std::make_unique<State>()}, timeout_{timeout} {
    int initialized = 0;
    MPI_Initialized(&initialized);
    if (initialized != 0) throw Error{Errc::internal, "MPI is initialised already"};
    int provided = MPI_THREAD_SINGLE;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
    // The end of Open MPI's MPI_Init is a PMIx fence without data, with which Slurm 22.05 lets the ranks of a node go
    // on when all of that node have come. Others are still inside then, and a message makes them call a null pointer.
    meet_by_pmix(timeout_);
    int rank = 0;
    int size = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    rank_ = static_cast<Rank>(rank);
    size_ = static_cast<Rank>(size);
    longest_nap_ = longest_nap(size_);
}

MpiWorld::~MpiWorld() {
    if (state_->broken) {
        (void)state_.release();
        return;
    }
    // No deadline without a failure: the others may work for as long as they like, and one that dies ends the job.
    const auto deadline = is_failing() ? SteadyClock::now() + failing_together : SteadyClock::time_point::max();
    if (leave(deadline)) MPI_Finalize();
}

/// With naps: MPI's own waits keep a processor busy.
template <class Done>
bool MpiWorld::nap_until(SteadyClock::time_point deadline, Done&& done) const {
    std::chrono::microseconds nap = 20us;
    while (!done()) {
        if (SteadyClock::now() > deadline) return false;
        std::this_thread::sleep_for(nap);
        nap = std::min(nap * 3 / 2, longest_nap_);
    }
    return true;
}

bool MpiWorld::leave(SteadyClock::time_point deadline) {
    if (!state_->leaving) {
        state_->leaving = true;
        state_->stage = {};
        MPI_Ibarrier(MPI_COMM_WORLD, &state_->parting);
    }
    return nap_until(deadline, [&] { return has_completed(state_->parting); });
}

bool MpiWorld::all_leave(std::chrono::milliseconds timeout) {
    return leave(SteadyClock::now() + timeout);
}

bool MpiWorld::detected() noexcept {
    // Not SLURM_PROCID: srun sets it for every program, MPI or not.
    constexpr std::array variables{"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    return std::any_of(variables.begin(), variables.end(), [](const char* variable) {
        return std::getenv(variable) != nullptr;  // NOLINT(concurrency-mt-unsafe): nobody sets variables
    });
}

std::vector<std::string> MpiWorld::allgather(const std::string& mine) {
    if (state_->broken) throw Error{Errc::timed_out, "the ranks of this job lost each other before"};
    state_->broken = true;
    std::vector<std::string> all(size_);
    if (rank_ == 0) {
        all[0] = mine;
        collect(all);
    } else {
        send_to_first(mine);
    }
    broadcast(all);
    state_->broken = false;
    return all;
}

void MpiWorld::collect(std::vector<std::string>& all) {
    std::vector<bool> here(size_, false);
    here[0] = true;
    Rank count = 1;
    const bool complete = nap_until(SteadyClock::now() + timeout_, [&] {
        int found = 1;
        while (count < size_ && found != 0) {
            MPI_Message message = MPI_MESSAGE_NULL;
            MPI_Status status{};
            MPI_Improbe(MPI_ANY_SOURCE, gather_tag, MPI_COMM_WORLD, &found, &message, &status);
            if (found == 0) break;
            int bytes = 0;
            MPI_Get_count(&status, MPI_BYTE, &bytes);
            const auto source = static_cast<Rank>(status.MPI_SOURCE);
            all[source].resize(static_cast<std::size_t>(bytes));
            MPI_Mrecv(all[source].data(), bytes, MPI_BYTE, &message, MPI_STATUS_IGNORE);
            here[source] = true;
            ++count;
        }
        return count == size_;
    });
    if (complete) return;
    std::vector<Rank> missing;
    for (Rank rank = 0; rank < size_; ++rank) {
        if (!here[rank]) missing.push_back(rank);
    }
    throw Error{Errc::timed_out, std::string{missing.size() == 1 ? "rank " : "ranks "} + name_ranks(missing) + " of " +
                                     std::to_string(size_) + " did not join the MPI job within " + time_text(timeout_) +
                                     "; see their logs and hosts"};
}

void MpiWorld::send_to_first(const std::string& mine) {
    state_->mine = mine;
    MPI_Request request = MPI_REQUEST_NULL;
    MPI_Isend(state_->mine.data(), static_cast<int>(mine.size()), MPI_BYTE, 0, gather_tag, MPI_COMM_WORLD, &request);
    if (!nap_until(SteadyClock::now() + timeout_, [&] { return has_completed(request); })) {
        throw Error{Errc::timed_out,
                    "rank 0 did not join the MPI job within " + time_text(timeout_) + "; see its log and host"};
    }
}

void MpiWorld::broadcast(std::vector<std::string>& all) {
    const auto from_first = [this](void* bytes, std::size_t count) {
        MPI_Request request = MPI_REQUEST_NULL;
        MPI_Ibcast(bytes, static_cast<int>(count), MPI_BYTE, 0, MPI_COMM_WORLD, &request);
        if (!nap_until(SteadyClock::now() + timeout_ + head_start, [&] { return has_completed(request); })) {
            throw Error{Errc::timed_out, "no answer of rank 0 within " + time_text(timeout_ + head_start) +
                                             "; its message names the ranks it waited for"};
        }
    };
    std::vector<std::uint64_t>& sizes = state_->sizes;
    std::string& data = state_->data;
    sizes.assign(size_, 0);
    data.clear();
    if (rank_ == 0) {
        for (Rank rank = 0; rank < size_; ++rank) {
            sizes[rank] = all[rank].size();
            data += all[rank];
        }
    }
    from_first(sizes.data(), sizes.size() * sizeof(std::uint64_t));
    std::size_t total = 0;
    for (const std::uint64_t size : sizes) total += size;
    data.resize(total);
    from_first(data.data(), total);
    std::size_t at = 0;
    for (Rank rank = 0; rank < size_; ++rank) {
        all[rank] = data.substr(at, sizes[rank]);
        at += sizes[rank];
    }
}

std::string MpiWorld::describe() const {
    return library_version() + ", threads " + thread_level() + ", " + message_layer();
}

void MpiWorld::split(int colour) {
    (void)allgather({});  // all are here, so that the call without a deadline ends
    MPI_Comm stage = MPI_COMM_NULL;
    MPI_Comm_split(MPI_COMM_WORLD, colour, static_cast<int>(rank_), &stage);
    state_->stage = CommHandle{stage};
}

std::optional<int> MpiWorld::stage_communicator() const noexcept {
    return MPI_Comm_c2f(state_->stage.get());
}

void MpiWorld::abort(int exit_code) noexcept {
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::_Exit(exit_code);
}

std::unique_ptr<JobWorld> join_mpi_job(std::chrono::milliseconds timeout) {
    return std::make_unique<MpiWorld>(timeout);
}

bool has_mpi() noexcept {
    return true;
}

}  // namespace penstock
