#include <chrono>
#include <cmath>
#include <limits>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/clock.hpp"
#include "operators/builtins.hpp"
#include "operators/malformed.hpp"
#include "operators/number_text.hpp"
#include "operators/pacer.hpp"
#include "operators/progress.hpp"
#include "operators/telemetry/info.hpp"
#include "operators/telemetry/message.hpp"
#include "operators/telemetry/store.hpp"

namespace penstock {
namespace {

using namespace telemetry;

/// Writes telemetry messages to a store. Keeps its inputs until the file has them.
class TelemetryCollector final : public Sink {
public:
    TelemetryCollector(const Params& params, StageContext& context)
        : context_{context}, store_{context.result_path(params.get<std::string>("output"))}, malformed_{context} {
        const std::chrono::nanoseconds period = duration_param(params, "flush_interval") / ticks_of_interval;
        keeps_none_ = period.count() == 0;
        context.tick_every(period);
        context.log().info("Handler subscribed to topic", {{"topic", sample_topic}});
    }

    void consume(const Payload& in) override {
        if (const auto topic = in.metadata().string(topic_key); topic == gpu_topic) {
            take_gpu(in);
        } else {
            take_samples(in);
        }
        unwritten_.push_back(in);
        unwritten_bytes_ += in.size_bytes();
        if (unwritten_bytes_ >= most_unwritten_bytes || unwritten_.size() >= most_unwritten || keeps_none_) flush();
    }

    void tick() override {
        if (!unwritten_.empty() && ++ticks_ == ticks_of_interval) flush();
    }

    void finish() override {
        flush();
        store_.sync();
        malformed_.report();
        context_.log().info(
            fmt::format("Collected {} values ({} duplicates left out) in {}", stored_, duplicates_,
                        watch_.seconds_text()),
            {{"stored", static_cast<std::int64_t>(stored_)}, {"duplicates", static_cast<std::int64_t>(duplicates_)}});
    }

private:
    // Kept small: the senders keep the memory.
    static constexpr std::size_t most_unwritten = 16'384;
    static constexpr std::size_t most_unwritten_bytes = 16U << 20U;
    // The oldest message came before the first of them, so it is not kept longer than the interval.
    static constexpr int ticks_of_interval = 4;

    void flush() {
        store_.flush();
        unwritten_.clear();
        unwritten_bytes_ = 0;
        ticks_ = 0;
    }

    void take_gpu(const Payload& in) {
        const std::string_view text = in.text();
        if (const auto gpu = reader_.read_gpu(text)) {
            store_.put(*gpu);
        } else {
            malformed_.add(in.id(), 1, text, reader_.why());
        }
    }

    void take_samples(const Payload& in) {
        std::string_view rest = in.text();
        std::uint64_t stored = 0;
        for (std::uint64_t line = 1; !rest.empty(); ++line) {
            const std::size_t end = std::min(rest.find('\n'), rest.size());
            const std::string_view text = rest.substr(0, end);
            rest.remove_prefix(std::min(end + 1, rest.size()));
            const auto sample = reader_.read_sample(text);
            if (!sample) {
                malformed_.add(in.id(), line, text, reader_.why());
                continue;
            }
            const auto value = value_of(sample->value);
            if (!value) {
                malformed_.add(in.id(), line, text, "its value is no number");
            } else if (store_.add(*sample, *value)) {
                ++stored;
            } else {
                ++duplicates_;
                context_.count("duplicates", 1);
            }
        }
        stored_ += stored;
        context_.count("records", stored);
    }

    [[nodiscard]] static std::optional<double> value_of(std::string_view text) noexcept {
        if (text.empty()) return std::numeric_limits<double>::quiet_NaN();
        return parse_number(text);
    }

    StageContext& context_;
    Store store_;
    bool keeps_none_ = false;
    MalformedRecords malformed_;
    MessageReader reader_;
    Stopwatch watch_;
    std::vector<Payload> unwritten_;
    std::size_t unwritten_bytes_ = 0;
    int ticks_ = 0;  // since the oldest of them came
    std::uint64_t stored_ = 0;
    std::uint64_t duplicates_ = 0;
};

}  // namespace

void add_telemetry_collector(Registry& registry) {
    registry.add<TelemetryCollector>(collector_info());
}

}  // namespace penstock
