#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/clock.hpp"
#include "base/quote.hpp"
#include "base/time_text.hpp"
#include "operators/builtins.hpp"
#include "operators/pacer.hpp"
#include "operators/telemetry/dcgm_file.hpp"
#include "operators/telemetry/message.hpp"

namespace penstock {
namespace {

using namespace telemetry;
using namespace std::chrono_literals;

constexpr auto restart_delay = 1s;
constexpr auto retry_delay = 5s;
constexpr auto statistics_period = 10s;
constexpr std::uint64_t errors_shown = 5;

struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
};
template <class T>
using ByText = std::unordered_map<std::string, T, StringHash, std::equal_to<>>;

/// Reads a DCGM file and emits its rows as messages.
class TelemetryStreamer final : public Source {
public:
    TelemetryStreamer(const Params& params, StageContext& context)
        : context_{context},
          path_{params.get<std::string>("csv_path")},
          name_{params.get<std::string>("instance_id")},
          loop_{params.get<bool>("loop")},
          uses_file_time_{params.get<std::string>("time_source") == "csv"},
          shares_{params.get<std::string>("partition") == "rows"},
          rows_per_message_{static_cast<std::size_t>(params.get<std::int64_t>("rows_per_message"))},
          interval_{duration_param(params, "interval")},
          stagger_{duration_param(params, "stagger")},
          pacer_{context, interval_} {
        for (const ParamValue& metric : params.get<ParamValue::List>("metrics")) {
            const auto* name = std::get_if<std::string>(&metric.value);
            if (name == nullptr) {
                throw Error{Errc::invalid_input, "parameter 'metrics' lists names; " + metric.text() + " is none"};
            }
            metrics_.emplace(*name, true);
        }
        if (name_.empty()) name_ = context.stage();
        if (context.instances() > 1) name_ += fmt::format("-{}", context.instance());
    }

    bool produce(Output& out) override {
        if (!started_ && !start()) return false;
        report_if_due();
        DcgmRow row;
        switch (next(row)) {
            case DcgmFile::Result::row: send(row, out); break;
            case DcgmFile::Result::bad_row: break;
            case DcgmFile::Result::end: return reach_end(out);
        }
        return !stopping_;
    }

    void finish() override {
        const auto totals = context_.output_totals();
        report();
        std::size_t unsent = 0;
        for (const auto& [key, batch] : batches_) unsent += batch.rows;
        if (unsent != 0)
            context_.log().warn(fmt::format("Stopped with {} rows in messages that were not full", unsent));
        context_.log().info("Shutdown complete", {{"instance_id", name_},
                                                  {"queue_published", static_cast<std::int64_t>(totals.published)},
                                                  {"queue_delivered", static_cast<std::int64_t>(totals.settled)}});
        context_.log().info("Telemetry streamer shut down gracefully");
    }

private:
    /// The rows of one metric of one GPU that wait for their message to be full.
    struct Batch {
        std::string text;
        std::size_t rows = 0;
        std::string gpu_uuid = {};
        std::string metric_name = {};
        std::string hostname = {};
        std::string device = {};
    };

    [[nodiscard]] bool start() {
        started_ = true;
        context_.log().info("Starting telemetry streamer", {{"component", std::string_view{"streamer"}},
                                                            {"instance_id", name_},
                                                            {"csv_path", path_},
                                                            {"interval", std::chrono::nanoseconds{interval_}.count()},
                                                            {"loop_mode", loop_}});
        last_report_ = SteadyClock::now();
        return pause(stagger_ * context_.instance());
    }

    /// The next row of the file, which is opened if need be. A file that cannot be read is a bad row in loop mode.
    [[nodiscard]] DcgmFile::Result next(DcgmRow& row) {
        try {
            if (!file_) open();
            const auto result = file_->next(row);
            if (result == DcgmFile::Result::bad_row) note_error(file_->why());
            return result;
        } catch (const Error& error) {
            if (!loop_) throw;
            file_.reset();
            note_error(error.what());
            context_.log().error(fmt::format("{}; trying again in {} s", error.what(), retry_delay.count()));
            stopping_ = !pause(retry_delay);
            return DcgmFile::Result::bad_row;
        }
    }

    void open() {
        DcgmFile::Part part;
        if (shares_) {
            part = {static_cast<std::size_t>(context_.instance()), static_cast<std::size_t>(context_.instances())};
        }
        file_.emplace(path_, part);
    }

    [[nodiscard]] bool reach_end(Output& out) {
        file_.reset();
        for (auto& [key, batch] : batches_) emit(batch, out);
        if (!loop_) {
            context_.log().info("Stream completed (loop mode disabled)");
            return false;
        }
        return pause(restart_delay);
    }

    void send(const DcgmRow& row, Output& out) {
        if (!metrics_.empty() && metrics_.find(row.metric_name) == metrics_.end()) return;
        Batch& batch = batch_of(row);
        if (batch.rows + 1 >= rows_per_message_ && !due()) return;
        std::int64_t time_ns = 0;
        if (uses_file_time_) {
            const auto time = parse_time(row.timestamp);
            if (!time)
                return note_error(fmt::format("{}: {} is no RFC 3339 time", file_->place(), in_quotes(row.timestamp)));
            time_ns = *time;
        } else {
            time_ns = static_cast<std::int64_t>(wall_ns());
        }
        introduce(row, out);
        if (batch.rows != 0) batch.text += '\n';
        append_sample(batch.text, {.gpu_uuid = row.uuid,
                                   .metric_name = row.metric_name,
                                   .value = row.value,
                                   .time_ns = time_ns,
                                   .labels_raw = row.labels_raw});
        if (++batch.rows >= rows_per_message_) emit(batch, out);
    }

    [[nodiscard]] bool due() {
        // The first row is sent after one interval.
        if (!pacer_.wait(++paced_)) stopping_ = true;
        return !stopping_;
    }

    /// Tells about a GPU before its first row, and when what is known of it has changed.
    void introduce(const DcgmRow& row, Output& out) {
        const auto known = gpus_.find(row.uuid);
        if (known != gpus_.end() && is_same(known->second, row)) return;
        Gpu gpu{.uuid = std::string{row.uuid},
                .device_id = std::string{row.device},
                .gpu_index = std::string{row.gpu_id},
                .model_name = std::string{row.model_name},
                .hostname = std::string{row.hostname},
                .container = std::string{row.container},
                .pod = std::string{row.pod},
                .kubernetes_namespace = std::string{row.kubernetes_namespace}};
        std::string text;
        append_gpu(text, gpu);
        auto draft = out.draft<char>(text.size());
        std::copy(text.begin(), text.end(), draft.begin());
        draft.set_format(Format::json);
        draft.set(topic_key, gpu_topic);
        draft.set(instance_key, std::string_view{name_});
        draft.set(gpu_key, row.uuid);
        out.emit(std::move(draft));
        gpus_.insert_or_assign(gpu.uuid, std::move(gpu));
    }

    [[nodiscard]] static bool is_same(const Gpu& gpu, const DcgmRow& row) noexcept {
        return gpu.device_id == row.device && gpu.gpu_index == row.gpu_id && gpu.model_name == row.model_name &&
               gpu.hostname == row.hostname && gpu.container == row.container && gpu.pod == row.pod &&
               gpu.kubernetes_namespace == row.kubernetes_namespace;
    }

    [[nodiscard]] Batch& batch_of(const DcgmRow& row) {
        key_.assign(row.uuid);
        key_ += '\0';
        key_ += row.metric_name;
        const auto [found, is_new] = batches_.try_emplace(key_);
        Batch& batch = found->second;
        if (is_new) {
            batch.gpu_uuid = row.uuid;
            batch.metric_name = row.metric_name;
        }
        if (batch.rows == 0) {
            batch.hostname = row.hostname;
            batch.device = row.device;
        }
        return batch;
    }

    void emit(Batch& batch, Output& out) {
        if (batch.rows == 0) return;
        auto draft = out.draft<char>(batch.text.size());
        std::copy(batch.text.begin(), batch.text.end(), draft.begin());
        draft.set_format(Format::json);
        draft.set(topic_key, sample_topic);
        draft.set(instance_key, std::string_view{name_});
        draft.set(gpu_key, std::string_view{batch.gpu_uuid});
        draft.set(metric_key, std::string_view{batch.metric_name});
        draft.set(hostname_key, std::string_view{batch.hostname});
        draft.set(device_key, std::string_view{batch.device});
        out.emit(std::move(draft));
        rows_sent_ += batch.rows;
        context_.count("rows_sent", batch.rows);
        batch.rows = 0;
        batch.text.clear();
    }

    void note_error(std::string_view text) {
        context_.count("errors", 1);
        if (++errors_ <= errors_shown) context_.log().warn(fmt::format("{}: {}", path_, text));
    }

    [[nodiscard]] bool pause(SteadyClock::duration time) {
        return time == SteadyClock::duration::zero() || context_.wait_until(SteadyClock::now() + time);
    }

    void report_if_due() {
        if (ticks() - last_look_ < short_while) return;
        last_look_ = ticks();
        const auto now = SteadyClock::now();
        if (now - last_report_ < statistics_period) return;
        last_report_ = now;
        report();
    }

    void report() {
        const auto totals = context_.output_totals();
        context_.log().info("Streamer statistics", {{"rows_sent", static_cast<std::int64_t>(rows_sent_)},
                                                    {"errors", static_cast<std::int64_t>(errors_)},
                                                    {"queue_depth", static_cast<std::int64_t>(totals.pending())},
                                                    {"queue_published", static_cast<std::int64_t>(totals.published)},
                                                    {"queue_delivered", static_cast<std::int64_t>(totals.settled)}});
    }

    StageContext& context_;
    std::string path_;
    std::string name_;
    bool loop_;
    bool uses_file_time_;
    bool shares_;
    std::size_t rows_per_message_;
    SteadyClock::duration interval_;
    SteadyClock::duration stagger_;
    Pacer pacer_;
    ByText<bool> metrics_;  // those to send; all if empty
    std::optional<DcgmFile> file_;
    ByText<Gpu> gpus_;
    ByText<Batch> batches_;
    std::string key_;
    std::uint64_t paced_ = 0;
    std::uint64_t rows_sent_ = 0;
    std::uint64_t errors_ = 0;
    std::uint64_t last_look_ = 0;
    SteadyClock::time_point last_report_{};
    bool started_ = false;
    bool stopping_ = false;
};

}  // namespace

void add_telemetry_streamer(Registry& registry) {
    registry.add<TelemetryStreamer>({
        .name = "telemetry_streamer",
        .help = "Reads a DCGM metrics file and emits its rows as JSON messages, with the GPU and the metric in the "
                "metadata.",
        .output = "application/json",
        .params = {{.name = "csv_path",
                    .kind = ParamKind::string,
                    .help = "File to read; the first line names the columns.",
                    .env = "CSV_PATH"},
                   {.name = "instance_id",
                    .kind = ParamKind::string,
                    .help = "Name in the messages, with the instance's number behind it when there are several; empty "
                            "for the stage's name.",
                    .fallback = ParamValue{std::string{}},
                    .env = "INSTANCE_ID"},
                   {.name = "interval",
                    .kind = ParamKind::duration,
                    .help = "From one message to the next, and before the first; 0 does not wait.",
                    .fallback = ParamValue{std::string{"100ms"}},
                    .unit = "ms",
                    .env = "STREAM_INTERVAL",
                    .minimum = 0},
                   {.name = "loop",
                    .kind = ParamKind::boolean,
                    .help = "Whether to begin again a second after the end of the file, and to try again five seconds "
                            "after it could not be opened.",
                    .fallback = ParamValue{true},
                    .env = "LOOP_MODE"},
                   {.name = "time_source",
                    .kind = ParamKind::string,
                    .help = "Where a message's timestamp comes from: the clock when it is made, or the file.",
                    .fallback = ParamValue{std::string{"ingest"}},
                    .choices = {"ingest", "csv"}},
                   {.name = "partition",
                    .kind = ParamKind::string,
                    .help = "What each of several instances reads: its part of the rows, or the whole file.",
                    .fallback = ParamValue{std::string{"rows"}},
                    .choices = {"rows", "none"}},
                   {.name = "stagger",
                    .kind = ParamKind::duration,
                    .help = "How much later than the one before it each instance starts.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0},
                   {.name = "rows_per_message",
                    .kind = ParamKind::integer,
                    .help = "Rows of one GPU and metric in a message, one JSON object a line.",
                    .fallback = ParamValue{std::int64_t{1}},
                    .minimum = 1,
                    .maximum = 100'000},
                   {.name = "metrics",
                    .kind = ParamKind::list,
                    .help = "Names of the metrics to send; empty for all.",
                    .fallback = ParamValue{ParamValue::List{}}}},
    });
}

}  // namespace penstock
