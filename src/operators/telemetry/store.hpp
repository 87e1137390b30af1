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
/// Idempotent: a GPU that comes again replaces what was known of it, a value of a metric, GPU and time that are there
/// already is left out. Used by one thread. All throw Error{exhausted} when the storage is full.
class Store {
public:
    /// Creates the file, or goes on with it. @throws Error{invalid_input} if it is no such file or cannot be made.
    explicit Store(std::string path);
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    void put(const Gpu& gpu);
    /// @param value  NaN for none. @return false if it was there already.
    bool add(const Sample& sample, double value);
    /// After it everything is in the file, for a process that opens it from then on.
    void flush();
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
};

/// The GPUs of several stores, each once, by hostname, index and uuid.
/// @throws Error{invalid_input} naming the file that cannot be read.
[[nodiscard]] std::vector<Gpu> read_gpus(const std::vector<std::string>& paths);

/// Tells the values of several stores that match, by metric, then time, then GPU.
/// @throws Error{invalid_input} naming the file that cannot be read.
void read_values(const std::vector<std::string>& paths, const Query& query,
                 const std::function<void(const Reading&)>& tell);

}  // namespace penstock::telemetry
