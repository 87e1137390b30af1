#include <array>
#include <cstring>
#include <string>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/clock.hpp"
#include "operators/builtins.hpp"
#include "operators/number_text.hpp"
#include "operators/pacer.hpp"
#include "operators/progress.hpp"

namespace penstock {
namespace {

/// Beyond this, 1.5 times an id is no longer the exact double that `write_value` assumes.
constexpr std::int64_t max_first_id = 1'000'000'000'000'000;

/// "1700000000.123456"
std::string timestamp() {
    constexpr std::uint64_t second_us = 1'000'000;
    const std::uint64_t us = wall_ns() / 1'000;
    return fmt::format("{}.{:06}", us / second_us, us % second_us);
}

/// 1.5 times the id.
char* write_value(char* out, std::uint64_t id) noexcept {
    const std::uint64_t halves = 3 * id;
    out = write_integer(out, halves / 2);
    std::memcpy(out, halves % 2 == 0 ? ".0" : ".5", 2);
    return out + 2;
}

class Records final : public Source {
public:
    Records(const Params& params, StageContext& context)
        : context_{context},
          batch_size_{static_cast<std::uint64_t>(params.get<std::int64_t>("batch_size"))},
          total_batches_{static_cast<std::uint64_t>(params.get<std::int64_t>("total_batches"))},
          first_id_{static_cast<std::uint64_t>(params.get<std::int64_t>("first_id"))},
          next_batch_{static_cast<std::uint64_t>(context.instance())},
          pacer_{context, duration_param(params, "interval")} {
        const auto instances = static_cast<std::uint64_t>(context.instances());
        if (total_batches_ > next_batch_) my_batches_ = (total_batches_ - next_batch_ - 1) / instances + 1;
        const int consumers = context.downstream_instances();
        context.log().info(fmt::format("Expecting {} downstream consumer{}", consumers, consumers == 1 ? "" : "s"));
    }

    bool produce(Output& out) override {
        if (sent_ == 0) begin();
        if (total_batches_ != 0 && next_batch_ >= total_batches_) return false;
        if (!pacer_.wait(next_batch_)) return false;
        out.emit(make_batch(out));
        context_.count("records", batch_size_);
        next_batch_ += static_cast<std::uint64_t>(context_.instances());
        ++sent_;
        if (is_milestone(sent_)) log_progress();
        return true;
    }

    void finish() override {
        const std::uint64_t records = sent_ * batch_size_;
        context_.log().info("Streaming complete. Closing connections...");
        context_.log().info(
            fmt::format("Sent {} records in {} ({})", records, watch_.seconds_text(), watch_.rate_text(records)),
            {{"batches", static_cast<std::int64_t>(sent_)},
             {"records", static_cast<std::int64_t>(records)},
             {"seconds", watch_.seconds()}});
    }

private:
    void begin() {
        watch_.start();
        const std::string batches = total_batches_ == 0 ? "endless" : std::to_string(my_batches_);
        context_.log().info("All consumers connected. Streaming " + batches + " batches...");
    }

    RawDraft make_batch(Output& out) const {
        const std::string stamp = timestamp();
        const std::uint64_t first = first_id_ + next_batch_ * batch_size_;
        const std::uint64_t last = first + batch_size_ - 1;
        std::array<char, max_number_text> number;
        const auto id_room = static_cast<std::size_t>(write_integer(number.data(), last) - number.data());
        const auto value_room = static_cast<std::size_t>(write_value(number.data(), last) - number.data());
        auto draft = out.draft<char>(batch_size_ * (id_room + value_room + stamp.size() + 3));
        char* at = draft.data();
        for (std::uint64_t id = first; id <= last; ++id) {
            at = write_integer(at, id);
            *at++ = ',';
            at = write_value(at, id);
            *at++ = ',';
            std::memcpy(at, stamp.data(), stamp.size());
            at += stamp.size();
            *at++ = '\n';
        }
        draft.shrink(static_cast<std::size_t>(at - draft.data()) - 1);  // lines are joined: none after the last one
        draft.set_format(Format::csv);
        draft.set("records", batch_size_);
        draft.set("batch", next_batch_);
        return draft;
    }

    void log_progress() {
        const std::string of = total_batches_ == 0 ? "" : fmt::format("/{}", my_batches_);
        context_.log().info(fmt::format("Sent batch {}{} ({})", sent_, of, watch_.rate_text(sent_ * batch_size_)),
                            {{"batches", static_cast<std::int64_t>(sent_)},
                             {"records", static_cast<std::int64_t>(sent_ * batch_size_)},
                             {"seconds", watch_.seconds()}});
    }

    StageContext& context_;
    std::uint64_t batch_size_;
    std::uint64_t total_batches_;
    std::uint64_t first_id_;
    std::uint64_t next_batch_;  // of all instances together: this one makes every instances-th
    std::uint64_t my_batches_ = 0;
    std::uint64_t sent_ = 0;
    Pacer pacer_;
    Stopwatch watch_;
};

}  // namespace

void add_records(Registry& registry) {
    registry.add<Records>({
        .name = "records",
        .help = "Makes batches of text records \"record_id,value,timestamp\" with value = 1.5 * record_id; "
                "its instances share the batches.",
        .output = "text/csv",
        .params = {{.name = "batch_size",
                    .kind = ParamKind::integer,
                    .help = "Records in a batch.",
                    .fallback = ParamValue{std::int64_t{1000}},
                    .env = "BATCH_SIZE",
                    .minimum = 1,
                    .maximum = 100'000'000},
                   {.name = "total_batches",
                    .kind = ParamKind::integer,
                    .help = "Batches of all instances together; 0 goes on until the run is stopped.",
                    .fallback = ParamValue{std::int64_t{100}},
                    .env = "TOTAL_BATCHES",
                    .minimum = 0,
                    .maximum = 1e12},
                   {.name = "interval",
                    .kind = ParamKind::duration,
                    .help = "From one batch to the next, counted over all instances; 0 does not wait.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0},
                   {.name = "first_id",
                    .kind = ParamKind::integer,
                    .help = "The record_id to begin with.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .minimum = 0,
                    .maximum = max_first_id}},
    });
}

}  // namespace penstock
