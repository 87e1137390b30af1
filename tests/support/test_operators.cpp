#include "support/test_operators.hpp"

#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <nlohmann/json.hpp>
#include <unistd.h>

#include <penstock/error.hpp>

namespace penstock::test {
namespace {

// --- operators that throw ---

constexpr std::chrono::milliseconds tick_period{10};

class Fault {
public:
    explicit Fault(const Params& params)
        : where_{params.get<std::string>("where")},
          kind_{params.get<std::string>("kind")},
          left_{params.get<std::int64_t>("after")} {
        reach("constructor");
    }

    void call() {
        if (--left_ < 0) reach("call");
    }
    void tick() const { reach("tick"); }
    void finish() const { reach("finish"); }

private:
    void reach(std::string_view place) const {
        if (place != where_) return;
        if (kind_ == "error") throw Error{Errc::unsupported, "planned failure in " + where_};
        if (kind_ == "std") throw std::runtime_error{"planned failure in " + where_};
        throw 42;
    }

    std::string where_;
    std::string kind_;
    std::int64_t left_;
};

class ThrowingSource final : public Source {
public:
    explicit ThrowingSource(const Params& params) : fault_{params}, left_{params.get<std::int64_t>("count")} {}
    bool produce(Output& out) override {
        if (left_-- <= 0) return false;
        fault_.call();
        out.emit(out.draft<double>(1));
        return true;
    }
    void finish() override { fault_.finish(); }

private:
    Fault fault_;
    std::int64_t left_;
};

class ThrowingProcessor final : public Processor {
public:
    ThrowingProcessor(const Params& params, StageContext& context) : fault_{params} { context.tick_every(tick_period); }
    void process(const Payload& in, Output& out) override {
        fault_.call();
        out.emit(in);
    }
    void tick(Output&) override { fault_.tick(); }
    void finish(Output&) override { fault_.finish(); }

private:
    Fault fault_;
};

class ThrowingSink final : public Sink {
public:
    ThrowingSink(const Params& params, StageContext& context) : fault_{params} { context.tick_every(tick_period); }
    void consume(const Payload&) override { fault_.call(); }
    void tick() override { fault_.tick(); }
    void finish() override { fault_.finish(); }

private:
    Fault fault_;
};

std::vector<ParamInfo> fault_params() {
    return {{.name = "where",
             .kind = ParamKind::string,
             .help = "Hook that throws.",
             .fallback = ParamValue{std::string{"call"}},
             .choices = {"constructor", "call", "tick", "finish"}},
            {.name = "kind",
             .kind = ParamKind::string,
             .help = "What is thrown.",
             .fallback = ParamValue{std::string{"error"}},
             .choices = {"error", "std", "unknown"}},
            {.name = "after",
             .kind = ParamKind::integer,
             .help = "Payloads that go well.",
             .fallback = ParamValue{std::int64_t{0}},
             .minimum = 0}};
}

ParamInfo count_param() {
    return {.name = "count",
            .kind = ParamKind::integer,
            .help = "Payloads to make.",
            .fallback = ParamValue{std::int64_t{100}},
            .minimum = 0};
}

// --- operators that tick ---

class Ticks {
public:
    Ticks(const Params& params, StageContext& context)
        : context_{context}, every_{params.get<double>("every")}, last_{std::chrono::steady_clock::now()} {
        context.tick_every(std::chrono::duration_cast<std::chrono::nanoseconds>(every_));
    }
    void add() {
        const auto now = std::chrono::steady_clock::now();
        context_.count("ticks", 1);
        if (now - last_ < every_) context_.count("early", 1);
        last_ = now;
    }
    void end() { context_.tick_every(std::chrono::nanoseconds{0}); }

private:
    StageContext& context_;
    std::chrono::duration<double, std::milli> every_;
    std::chrono::steady_clock::time_point last_;
};

class TickingProcessor final : public Processor {
public:
    TickingProcessor(const Params& params, StageContext& context)
        : ticks_{params, context}, most_{params.get<std::int64_t>("most")} {}
    void process(const Payload&, Output&) override {}
    void tick(Output& out) override {
        ticks_.add();
        auto draft = out.draft<std::int64_t>(1);
        draft[0] = ++made_;
        draft.set_user_id(static_cast<std::uint64_t>(made_));
        out.emit(std::move(draft));
        if (made_ == most_) ticks_.end();
    }

private:
    Ticks ticks_;
    std::int64_t most_;
    std::int64_t made_ = 0;
};

class TickingSink final : public Sink {
public:
    TickingSink(const Params& params, StageContext& context) : ticks_{params, context} {}
    void consume(const Payload&) override {}
    void tick() override { ticks_.add(); }

private:
    Ticks ticks_;
};

// --- operators that take their time ---

class StuckProcessor final : public Processor {
public:
    explicit StuckProcessor(const Params& params) : left_{params.get<std::int64_t>("after")} {}
    void process(const Payload& in, Output& out) override {
        if (left_-- <= 0) {
            for (;;) pause();
        }
        out.emit(in);
    }

private:
    std::int64_t left_;
};

class SlowSink final : public Sink {
public:
    explicit SlowSink(const Params& params) : delay_{params.get<double>("delay")} {}
    void consume(const Payload&) override { std::this_thread::sleep_for(delay_); }

private:
    std::chrono::duration<double, std::milli> delay_;
};

// --- operators that leave a trace ---

class TaggedSource final : public Source {
public:
    TaggedSource(const Params& params, StageContext& context)
        : context_{context}, count_{params.get<std::int64_t>("count")} {
        for (const auto& key : params.get<ParamValue::List>("keys")) keys_.push_back(std::get<std::string>(key.value));
    }

    bool produce(Output& out) override {
        if (made_ == count_) return false;
        auto draft = out.draft<std::int64_t>(1);
        draft[0] = made_;
        if (!keys_.empty()) draft.set("key", std::string_view{keys_[static_cast<std::size_t>(made_) % keys_.size()]});
        draft.set("instance", context_.instance());
        draft.set_user_id(static_cast<std::uint64_t>(made_));
        ++made_;
        out.emit(std::move(draft));
        return true;
    }

private:
    StageContext& context_;
    std::int64_t count_;
    std::vector<std::string> keys_;
    std::int64_t made_ = 0;
};

class Recorder final : public Sink {
public:
    Recorder(const Params& params, StageContext& context)
        : context_{context}, file_{context.result_path(params.get<std::string>("output"))} {
        file_.exceptions(std::ios::failbit | std::ios::badbit);
    }

    void consume(const Payload& in) override {
        nlohmann::ordered_json line{{"instance", context_.instance()},      {"rank", in.id().instance},
                                    {"channel", in.id().channel},           {"sequence", in.id().sequence},
                                    {"arrived_on", in.channel()},           {"bytes", in.bytes().size()},
                                    {"source_time_ns", in.source_time_ns()}};
        if (const auto id = in.user_id()) line["user_id"] = *id;
        if (const auto key = in.metadata().string("key")) line["key"] = *key;
        if (const auto key = in.metadata().integer("key")) line["key"] = *key;
        if (const auto source = in.metadata().integer("instance")) line["source_instance"] = *source;
        file_ << line.dump() << std::endl;
    }

private:
    StageContext& context_;
    std::ofstream file_;
};

/// Says from its constructor on which GPUs it sees.
class GpuProbe final : public Processor {
public:
    explicit GpuProbe(StageContext& context) {
        nlohmann::ordered_json seen{{"has_gpu", context.has_gpu()}};
        for (const char* name : {"CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"}) {
            const char* value = std::getenv(name);
            seen[name] = value == nullptr ? nlohmann::ordered_json{} : nlohmann::ordered_json(value);
        }
        const std::string label = std::string{context.stage()} + "." + std::to_string(context.instance());
        std::ofstream{context.result_path(label + ".json")} << seen.dump() << std::endl;
    }
    void process(const Payload& in, Output& out) override { out.emit(in); }
};

void add_slow(Registry& registry) {
    registry.add<StuckProcessor>({.name = "stuck_processor",
                                  .help = "Never returns from a call.",
                                  .params = {{.name = "after",
                                              .kind = ParamKind::integer,
                                              .help = "Payloads that go well.",
                                              .fallback = ParamValue{std::int64_t{0}},
                                              .minimum = 0}}});
    registry.add<SlowSink>({.name = "slow_sink",
                            .help = "Blocks its thread at each payload.",
                            .params = {{.name = "delay",
                                        .kind = ParamKind::duration,
                                        .help = "For how long.",
                                        .fallback = ParamValue{std::int64_t{1}},
                                        .unit = "ms",
                                        .minimum = 0}}});
}

void add_ticking(Registry& registry) {
    const ParamInfo every{.name = "every",
                          .kind = ParamKind::duration,
                          .help = "From one tick to the next.",
                          .fallback = ParamValue{std::int64_t{10}},
                          .unit = "ms",
                          .minimum = 0};
    registry.add<TickingProcessor>({.name = "ticking_processor",
                                    .help = "Emits a number at each tick.",
                                    .params = {every,
                                               {.name = "most",
                                                .kind = ParamKind::integer,
                                                .help = "Ticks to ask for.",
                                                .fallback = ParamValue{std::int64_t{20}},
                                                .minimum = 1}}});
    registry.add<TickingSink>({.name = "ticking_sink", .help = "Counts its ticks.", .params = {every}});
}

void add_tracing(Registry& registry) {
    const ParamValue::List keys{ParamValue{std::string{"a"}}, ParamValue{std::string{"b"}},
                                ParamValue{std::string{"c"}}};
    registry.add<TaggedSource>({.name = "tagged_source",
                                .help = "Makes payloads with metadata and user ids.",
                                .params = {count_param(),
                                           {.name = "keys",
                                            .kind = ParamKind::list,
                                            .help = "Values of metadata \"key\", in turn.",
                                            .fallback = ParamValue{keys}}}});
    registry.add(OperatorInfo{.name = "gpu_probe", .help = "Writes which GPUs it sees.", .gpu = true},
                 [](const Params&, StageContext& context) -> Operator { return std::make_unique<GpuProbe>(context); });
    registry.add<Recorder>({.name = "recorder",
                            .help = "Writes a JSON line for each payload.",
                            .params = {{.name = "output",
                                        .kind = ParamKind::string,
                                        .help = "File to write.",
                                        .fallback = ParamValue{std::string{"payloads.jsonl"}}}}});
}

}  // namespace

void add_test_operators(Registry& registry) {
    auto source_params = fault_params();
    source_params.push_back(count_param());
    registry.add<ThrowingSource>({.name = "throwing_source", .help = "Throws.", .params = std::move(source_params)});
    registry.add<ThrowingProcessor>({.name = "throwing_processor", .help = "Throws.", .params = fault_params()});
    registry.add<ThrowingSink>({.name = "throwing_sink", .help = "Throws.", .params = fault_params()});
    add_slow(registry);
    add_ticking(registry);
    add_tracing(registry);
}

}  // namespace penstock::test
