#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include <penstock/memory.hpp>

namespace penstock::hdf5 {

class ResultFile;

/// Writes payloads to a file on a thread of its own. It keeps each payload until the file is committed.
class Writer {
public:
    struct Limits {
        std::uint64_t buffer_bytes = 64U << 20U;  ///< Of payloads that are not yet committed.
        std::chrono::milliseconds flush{100};     ///< Nothing waits longer for its commit, if the disk keeps up.
    };

    /// Makes the file on the thread that will use it. @throws what `make` throws.
    Writer(std::function<std::unique_ptr<ResultFile>()> make, Limits limits);
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    /// Drops what is not committed.
    ~Writer();

    /// Waits while the buffer is full. @throws the error that stopped the writer, now or earlier.
    void put(Payload payload);
    /// Waits until everything is written and the file is complete. @throws the same.
    void finish();

private:
    struct Item {
        Payload payload;
        std::span<const std::byte> bytes;
        std::uint64_t cost;
    };

    void work(const std::function<std::unique_ptr<ResultFile>()>& make);
    void write_all(ResultFile& file);
    [[nodiscard]] bool commit_is_due() const;
    void commit(ResultFile& file);
    void rethrow() const;

    Limits limits_;
    std::mutex mutex_;
    std::condition_variable to_writer_;
    std::condition_variable from_writer_;
    std::vector<Item> queue_;
    std::uint64_t buffered_bytes_ = 0;
    bool is_waiting_ = false;  // somebody, for room
    bool finishing_ = false;
    bool abandoned_ = false;
    bool ready_ = false;
    bool ended_ = false;
    std::exception_ptr failure_;

    // Of the writer's thread.
    std::vector<Item> batch_;
    std::vector<Payload> uncommitted_;
    std::uint64_t uncommitted_bytes_ = 0;
    std::chrono::steady_clock::time_point oldest_{};

    std::thread thread_;
};

}  // namespace penstock::hdf5
