#include "operators/hdf5/writer.hpp"

#include <pthread.h>
#include <signal.h>

#include "base/clock.hpp"
#include "operators/hdf5/handles.hpp"
#include "operators/hdf5/result_file.hpp"

namespace penstock::hdf5 {
namespace {

/// What a small payload costs besides its bytes, about.
constexpr std::uint64_t handle_bytes = 512;

/// A thread that takes no signals: they are for the thread that runs the operator.
template <class Body>
std::thread quiet_thread(Body&& body) {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread thread{std::forward<Body>(body)};
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return thread;
}

}  // namespace

Writer::Writer(std::function<std::unique_ptr<ResultFile>()> make, Limits limits) : limits_{limits} {
    // Here, as a library with MPI calls it when it begins, which only the operator's thread may.
    { const Guard guard; }
    thread_ = quiet_thread([this, make = std::move(make)] { work(make); });
    std::unique_lock lock{mutex_};
    from_writer_.wait(lock, [&] { return ready_ || ended_; });
    if (!ended_) return;
    lock.unlock();
    thread_.join();
    rethrow();
}

Writer::~Writer() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock{mutex_};
        abandoned_ = true;
    }
    to_writer_.notify_one();
    thread_.join();
}

void Writer::put(Payload payload) {
    const auto bytes = payload.bytes();  // fetched on this thread, which alone may
    const std::uint64_t cost = bytes.size() + payload.metadata().encoded().size() + handle_bytes;
    std::unique_lock lock{mutex_};
    const auto has_room = [&] {
        return failure_ != nullptr || buffered_bytes_ == 0 || buffered_bytes_ + cost <= limits_.buffer_bytes;
    };
    if (!has_room()) {
        is_waiting_ = true;
        to_writer_.notify_one();
        from_writer_.wait(lock, has_room);
        is_waiting_ = false;
    }
    rethrow();
    const bool first = queue_.empty();
    queue_.push_back({std::move(payload), bytes, cost});
    buffered_bytes_ += cost;
    lock.unlock();
    if (first) to_writer_.notify_one();
}

void Writer::finish() {
    {
        const std::lock_guard lock{mutex_};
        finishing_ = true;
    }
    to_writer_.notify_one();
    std::unique_lock lock{mutex_};
    from_writer_.wait(lock, [&] { return ended_; });
    rethrow();
}

void Writer::rethrow() const {
    if (failure_) std::rethrow_exception(failure_);
}

void Writer::work(const std::function<std::unique_ptr<ResultFile>()>& make) {
    std::exception_ptr failure;
    try {
        std::unique_ptr<ResultFile> file;
        struct CloseUnderGuard {
            std::unique_ptr<ResultFile>& file;
            ~CloseUnderGuard() {
                const Guard guard;
                file.reset();
            }
        } const closing{file};
        {
            const Guard guard;
            file = make();
        }
        {
            const std::lock_guard lock{mutex_};
            ready_ = true;
        }
        from_writer_.notify_all();
        write_all(*file);
    } catch (...) {
        failure = std::current_exception();
    }
    std::vector<Item> dropped;
    {
        const std::lock_guard lock{mutex_};
        failure_ = failure;
        ended_ = true;
        dropped.swap(queue_);
    }
    from_writer_.notify_all();
}

void Writer::write_all(ResultFile& file) {
    for (;;) {
        bool last = false;
        {
            std::unique_lock lock{mutex_};
            const auto has_work = [&] {
                return abandoned_ || finishing_ || !queue_.empty() || (is_waiting_ && !uncommitted_.empty());
            };
            if (uncommitted_.empty()) {
                to_writer_.wait(lock, has_work);
            } else {
                to_writer_.wait_until(lock, oldest_ + limits_.flush, has_work);
            }
            if (abandoned_) return;
            batch_.swap(queue_);
            last = finishing_ && batch_.empty();
        }
        for (Item& item : batch_) {
            {
                const Guard guard;
                file.write(item.payload, item.bytes);
            }
            if (uncommitted_.empty()) oldest_ = SteadyClock::now();
            uncommitted_.push_back(std::move(item.payload));
            uncommitted_bytes_ += item.cost;
            if (commit_is_due()) commit(file);
        }
        batch_.clear();
        if (last) {
            const Guard guard;
            file.complete();
            uncommitted_.clear();
            return;
        }
        bool wanted = false;
        {
            const std::lock_guard lock{mutex_};
            wanted = is_waiting_ && queue_.empty();
        }
        if (!uncommitted_.empty() && (wanted || commit_is_due())) commit(file);
    }
}

bool Writer::commit_is_due() const {
    return uncommitted_bytes_ * 4 >= limits_.buffer_bytes || SteadyClock::now() - oldest_ >= limits_.flush;
}

/// Only now may the payloads go.
void Writer::commit(ResultFile& file) {
    {
        const Guard guard;
        file.commit();
    }
    uncommitted_.clear();
    {
        const std::lock_guard lock{mutex_};
        buffered_bytes_ -= uncommitted_bytes_;
    }
    uncommitted_bytes_ = 0;
    from_writer_.notify_all();
}

}  // namespace penstock::hdf5
