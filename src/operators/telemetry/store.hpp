#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "operators/telemetry/message.hpp"

namespace penstock::telemetry {

/// A file of GPUs and of what was measured of them:
///
///   /gpus                one row a GPU: uuid, device_id, gpu_index, model_name, hostname, container, pod, namespace
///   /telemetry/<metric>  one row a value: time_ns, value, gpu (row of /gpus), labels (row of /labels)
///   /labels              the different texts of labels_raw; the first one is empty
///
/// Idempotent: of a GPU that comes again the last row counts, a value of a metric, GPU and time that are there already
/// is left out. Whatever happens to the process, the file is as of the last `flush`, and any reader can open it, also
/// meanwhile. Used by one thread. All throw Error{exhausted} when the storage is full.
class Store {
public:
    /// Creates the file, or goes on with it. @throws Error{invalid_input} if it is no such file or cannot be made.
    explicit Store(const std::string& path);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    void put(const Gpu& gpu);
    /// @param value  NaN for none. @return false if it was there already.
    bool add(const Sample& sample, double value);
    /// After it everything is in the file, for a process that opens it from then on.
    void flush();
    /// Waits until the storage has what was flushed.
    void sync();
    [[nodiscard]] std::uint64_t values() const noexcept;

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

/// One value as it is found again.
struct Reading {
    std::int64_t time_ns;
    double value;  ///< NaN for none.
    std::string_view gpu_uuid;
    std::string_view metric_name;
    std::string_view labels_raw;
};

struct Query {
    std::string gpu = {};     ///< Any if empty.
    std::string metric = {};  ///< Any if empty.
    std::int64_t from_ns = std::numeric_limits<std::int64_t>::min();
    std::int64_t to_ns = std::numeric_limits<std::int64_t>::max();  ///< Not included.
    bool labels = true;                                             ///< Whether `labels_raw` is wanted.
};

/// The GPUs of several stores, each once, by hostname, index and uuid.
/// @throws Error{invalid_input} naming the file that cannot be read.
[[nodiscard]] std::vector<Gpu> read_gpus(const std::vector<std::string>& paths);

/// The values of several stores that match, by metric, then time, then GPU.
///
/// Needs memory for the lists of GPUs, 16 bytes for each 2048 values of a metric, 32 bytes for each value that is
/// sorted at a time, and 8 MiB a store for labels, however many match.
class Readings {
public:
    /// Opens the stores. @throws Error{invalid_input} naming the file that cannot be read.
    Readings(const std::vector<std::string>& paths, Query query, std::size_t at_a_time = std::size_t{1} << 19U);
    Readings(const Readings&) = delete;
    Readings& operator=(const Readings&) = delete;
    ~Readings();

    /// Tells one after the other while `teller` returns true.
    /// @throws Error{invalid_input} naming a file that turns out to be broken; what was told until then is right.
    void tell(const std::function<bool(const Reading&)>& teller);

private:
    class Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace penstock::telemetry
