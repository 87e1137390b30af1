#include "launch/pmix_world.hpp"

#include <array>
#include <cstdlib>
#include <exception>
#include <future>
#include <memory>
#include <span>

#include <pmix.h>

#include "base/deadline.hpp"
#include "launch/packed_texts.hpp"

namespace penstock {
namespace {

void check(pmix_status_t status, const char* call) {
    if (status == PMIX_SUCCESS) return;
    throw Error{status == PMIX_ERR_TIMEOUT ? Errc::timed_out : Errc::disconnected,
                std::string{call} + ": " + PMIx_Error_string(status)};
}

[[nodiscard]] pmix_proc_t proc_of(const std::string& job, pmix_rank_t rank) noexcept {
    pmix_proc_t proc;
    PMIX_LOAD_PROCID(&proc, job.c_str(), rank);
    return proc;
}

struct ValueRelease {
    void operator()(pmix_value_t* value) const noexcept { PMIX_VALUE_RELEASE(value); }
};
using Value = std::unique_ptr<pmix_value_t, ValueRelease>;

[[nodiscard]] Value get(const pmix_proc_t& proc, const char* key, std::span<const pmix_info_t> info = {}) {
    pmix_value_t* value = nullptr;
    check(PMIx_Get(&proc, key, info.data(), info.size(), &value), "PMIx_Get");
    return Value{value};
}

/// What a fence of all ranks has come to. Shared: an answer may come after nobody waits for it any more.
using Fence = std::shared_ptr<std::promise<pmix_status_t>>;

void on_fence(pmix_status_t status, void* fence) {
    const std::unique_ptr<Fence> held{static_cast<Fence*>(fence)};
    (*held)->set_value(status);
}

/// With a deadline of its own: servers need not honour PMIX_TIMEOUT. It always collects data: without, that of
/// Slurm 22.05 lets the ranks of a node go on when all of that node have come. @return PMIX_ERR_TIMEOUT when the
/// deadline has passed.
[[nodiscard]] pmix_status_t fence(std::chrono::milliseconds timeout) {
    const bool collects = true;
    std::array<pmix_info_t, 1> info;
    PMIX_INFO_LOAD(info.data(), PMIX_COLLECT_DATA, &collects, PMIX_BOOL);
    auto held = std::make_unique<Fence>(std::make_shared<std::promise<pmix_status_t>>());
    auto done = (*held)->get_future();
    const pmix_status_t started = PMIx_Fence_nb(nullptr, 0, info.data(), info.size(), on_fence, held.get());
    if (started == PMIX_OPERATION_SUCCEEDED) return PMIX_SUCCESS;
    if (started != PMIX_SUCCESS) return started;
    static_cast<void>(held.release());  // the answer's
    return done.wait_until(deadline_in(timeout)) == std::future_status::ready ? done.get() : PMIX_ERR_TIMEOUT;
}

[[nodiscard]] Error foreign_text(Rank rank) {
    return {Errc::disconnected, "rank " + std::to_string(rank) + " said something else than penstock does"};
}

}  // namespace

PmixWorld::PmixWorld(std::chrono::milliseconds timeout) : timeout_{timeout} {
    pmix_proc_t self;
    const pmix_status_t status = PMIx_Init(&self, nullptr, 0);
    if (status != PMIX_SUCCESS) {
        throw Error{Errc::unsupported, std::string{"no PMIx server started this process (PMIx_Init: "} +
                                           PMIx_Error_string(status) +
                                           "); start the run with 'srun --mpi=pmix' or mpirun"};
    }
    job_ = self.nspace;
    rank_ = self.rank;
    const Value size = get(proc_of(job_, PMIX_RANK_WILDCARD), PMIX_JOB_SIZE);
    size_ = size->data.uint32;
}

PmixWorld::~PmixWorld() {
    if (!has_left_) static_cast<void>(all_leave(is_failing() ? failing_together : timeout_));
    PMIx_Finalize(nullptr, 0);
}

std::vector<std::string> PmixWorld::allgather(const std::string& mine) {
    // Rank 0 passes on what it has got from all: each question to the server costs a rank as much as a message, and for
    // as many as there are pairs of ranks, 64 would start slower by a second.
    const std::string key = "penstock." + std::to_string(calls_++);
    const std::string key_of_all = key + ".all";
    if (rank_ != 0) put(key, mine);
    join();
    if (rank_ == 0) {
        std::vector<std::string> all{mine};
        for (Rank rank = 1; rank < size_; ++rank) all.push_back(text_of(rank, key));
        put(key_of_all, pack_texts(all));
        join();
        return all;
    }
    join();
    auto all = unpack_texts(text_of(0, key_of_all), size_);
    if (!all) throw foreign_text(0);
    return std::move(*all);
}

void PmixWorld::put(const std::string& key, const std::string& text) {
    pmix_value_t value;
    PMIX_VALUE_CONSTRUCT(&value);
    value.type = PMIX_BYTE_OBJECT;
    // PMIx copies it.
    value.data.bo.bytes = const_cast<char*>(text.data());
    value.data.bo.size = text.size();
    check(PMIx_Put(PMIX_GLOBAL, key.c_str(), &value), "PMIx_Put");
    check(PMIx_Commit(), "PMIx_Commit");
}

void PmixWorld::join() {
    const pmix_status_t fenced = fence(timeout_);
    if (fenced == PMIX_ERR_TIMEOUT) {
        throw Error{Errc::timed_out, "not all of the " + std::to_string(size_) + " ranks joined the job within " +
                                         std::to_string(timeout_.count()) + " ms; see their logs and hosts"};
    }
    check(fenced, "PMIx_Fence");
}

std::string PmixWorld::text_of(Rank rank, const std::string& key) const {
    std::array<pmix_info_t, 1> info;
    const int seconds = static_cast<int>(timeout_.count() / 1000 + 1);
    PMIX_INFO_LOAD(info.data(), PMIX_TIMEOUT, &seconds, PMIX_INT);
    const Value theirs = get(proc_of(job_, rank), key.c_str(), info);
    if (theirs->type != PMIX_BYTE_OBJECT) throw foreign_text(rank);
    const auto& bytes = theirs->data.bo;
    return {bytes.bytes == nullptr ? "" : bytes.bytes, bytes.size};
}

std::string PmixWorld::describe() const {
    const std::string version = PMIx_Get_version();
    // "OpenPMIx 4.2.2 (PMIx Standard: 4.2, ..."
    return version.substr(0, version.find(" (")) + ", without MPI";
}

bool PmixWorld::all_leave(std::chrono::milliseconds timeout) {
    has_left_ = true;
    return fence(timeout) == PMIX_SUCCESS;
}

void PmixWorld::abort(int exit_code) noexcept {
    PMIx_Abort(exit_code, "the run failed", nullptr, 0);
    std::_Exit(exit_code);
}

void meet_by_pmix(std::chrono::milliseconds timeout) {
    if (PMIx_Initialized() != 0) static_cast<void>(fence(timeout));
}

std::unique_ptr<JobWorld> join_pmix_job(std::chrono::milliseconds timeout) {
    return std::make_unique<PmixWorld>(timeout);
}

bool has_pmix() noexcept {
    return true;
}

}  // namespace penstock
