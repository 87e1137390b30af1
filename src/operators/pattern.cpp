#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/pacer.hpp"
#include "operators/pattern_fill.hpp"

namespace penstock {
namespace {

class Pattern final : public Source {
public:
    Pattern(const Params& params, StageContext& context)
        : context_{context},
          size_bytes_{static_cast<std::size_t>(params.get<std::int64_t>("size_bytes"))},
          count_{static_cast<std::uint64_t>(params.get<std::int64_t>("count"))},
          pause_{duration_param(params, "pause")},
          touch_{params.get<bool>("touch")},
          key_{params.get<std::string>("key")},
          keys_{static_cast<std::uint64_t>(params.get<std::int64_t>("keys"))},
          pacer_{context, duration_param(params, "interval")} {}

    bool produce(Output& out) override {
        if (made_ == 0 && pause_.count() > 0 && !context_.wait_until(SteadyClock::now() + pause_)) return false;
        if ((count_ != 0 && made_ == count_) || !pacer_.wait(made_)) return false;
        auto draft = out.draft<std::byte>(size_bytes_);
        if (touch_) fill(draft);
        if (!key_.empty()) draft.set(key_, made_ % keys_);
        ++made_;
        out.emit(std::move(draft));
        return true;
    }

private:
    void fill(RawDraft& draft) const {
        const std::uint64_t start = pattern_start(made_);
        fill_pattern(draft.bytes(), start);
        draft.set(pattern_key, start);
    }

    StageContext& context_;
    std::size_t size_bytes_;
    std::uint64_t count_;
    SteadyClock::duration pause_;
    bool touch_;
    std::string key_;
    std::uint64_t keys_;
    Pacer pacer_;
    std::uint64_t made_ = 0;
};

}  // namespace

void add_pattern(Registry& registry) {
    registry.add<Pattern>({
        .name = "pattern",
        .help = "Makes binary payloads of one size, for tests and measurements.",
        .output = "application/octet-stream",
        .params = {{.name = "size_bytes",
                    .kind = ParamKind::size,
                    .help = "Size of each blob.",
                    .fallback = ParamValue{std::int64_t{1024}},
                    .unit = "bytes",
                    .minimum = 0},
                   {.name = "count",
                    .kind = ParamKind::integer,
                    .help = "Payloads of each instance; 0 goes on until the run is stopped.",
                    .fallback = ParamValue{std::int64_t{100}},
                    .minimum = 0},
                   {.name = "interval",
                    .kind = ParamKind::duration,
                    .help = "From one payload to the next; 0 does not wait.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0},
                   {.name = "pause",
                    .kind = ParamKind::duration,
                    .help = "Before the first payload.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0},
                   {.name = "touch",
                    .kind = ParamKind::boolean,
                    .help = "Whether every word is written, with values that \"null\" can verify.",
                    .fallback = ParamValue{true}},
                   {.name = "key",
                    .kind = ParamKind::string,
                    .help = "Metadata key to set, for routing; empty sets none.",
                    .fallback = ParamValue{std::string{}}},
                   {.name = "keys",
                    .kind = ParamKind::integer,
                    .help = "The key's values go in turn from 0 to one less than this.",
                    .fallback = ParamValue{std::int64_t{16}},
                    .minimum = 1}},
    });
}

}  // namespace penstock
