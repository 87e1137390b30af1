#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace penstock::telemetry {

// Metadata keys of every message: the headers and the metadata of the streamer's envelope.
inline constexpr std::string_view topic_key = "topic";
inline constexpr std::string_view instance_key = "instance_id";
inline constexpr std::string_view gpu_key = "gpu_uuid";
inline constexpr std::string_view metric_key = "metric_name";
inline constexpr std::string_view hostname_key = "hostname";
inline constexpr std::string_view device_key = "device";

inline constexpr std::string_view sample_topic = "telemetry";
inline constexpr std::string_view gpu_topic = "gpu";

/// One value of one metric of one GPU. The views are into the text it was read from, or into what `read_sample`
/// unescaped.
struct Sample {
    std::string_view gpu_uuid;
    std::string_view metric_name;
    std::string_view value;  ///< As it stood in the file; may be empty.
    std::int64_t time_ns = 0;
    std::string_view labels_raw;
};

/// What is known of a GPU. Empty where nothing is.
struct Gpu {
    std::string uuid = {};
    std::string device_id = {};
    std::string gpu_index = {};
    std::string model_name = {};
    std::string hostname = {};
    std::string container = {};
    std::string pod = {};
    std::string kubernetes_namespace = {};

    friend bool operator==(const Gpu&, const Gpu&) = default;
};

/// Appends `{"gpu_uuid":…,"metric_name":…,"value":…,"timestamp":…}`; `labels_raw` follows unless it is empty. Escapes
/// as the streamer's own language does (Go, encoding/json): also `<`, `>` and `&`; bytes that are no UTF-8 become
/// U+FFFD.
void append_sample(std::string& out, const Sample& sample);
void append_gpu(std::string& out, const Gpu& gpu);

/// Reads JSON objects whose values are strings. Keeps the room for unescaped text from one call to the next.
class MessageReader {
public:
    /// @return nothing, and `why`, for a text that is no such object or lacks a key that a sample needs.
    [[nodiscard]] std::optional<Sample> read_sample(std::string_view json);
    [[nodiscard]] std::optional<Gpu> read_gpu(std::string_view json);
    [[nodiscard]] std::string_view why() const noexcept { return why_; }

private:
    template <class Take>
    [[nodiscard]] bool read_object(std::string_view json, Take&& take);
    [[nodiscard]] bool read_string(std::string_view& json, std::string_view& text);
    [[nodiscard]] bool unescape(std::string_view& json, std::string_view& text);

    std::string unescaped_;
    std::string_view why_;
};

}  // namespace penstock::telemetry
