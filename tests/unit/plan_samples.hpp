#pragma once

#include <string>
#include <utility>

#include <penstock/operator.hpp>
#include <penstock/spec.hpp>

namespace penstock {

/// Operators that are only described: planning never makes one.
[[nodiscard]] inline Registry sample_registry() {
    Registry registry;
    const auto add = [&](OperatorInfo info) {
        registry.add(std::move(info), [](const Params&, StageContext&) -> Operator { return std::unique_ptr<Sink>{}; });
    };
    add({.name = "make",
         .kind = OperatorKind::source,
         .help = "Makes payloads.",
         .output = "text/csv",
         .params = {{.name = "count",
                     .kind = ParamKind::integer,
                     .help = "How many.",
                     .fallback = ParamValue{std::int64_t{10}},
                     .env = "COUNT"}}});
    add({.name = "any_source", .kind = OperatorKind::source, .help = "Makes anything."});
    add({.name = "scale",
         .kind = OperatorKind::processor,
         .help = "Scales.",
         .input = "text/csv",
         .output = "text/csv",
         .params = {{.name = "factor", .kind = ParamKind::number, .help = "Times that."}}});
    add({.name = "pass", .kind = OperatorKind::processor, .help = "Passes everything on."});
    add({.name = "kernel", .kind = OperatorKind::processor, .help = "Runs on GPUs, too.", .gpu = true});
    add({.name = "sum", .kind = OperatorKind::sink, .help = "Adds up.", .input = "f64"});
    add({.name = "eat", .kind = OperatorKind::sink, .help = "Takes everything."});
    return registry;
}

[[nodiscard]] inline StageSpec stage(std::string name, std::string operator_name, int instances = 1) {
    return {.name = std::move(name), .operator_name = std::move(operator_name), .instances = instances};
}

[[nodiscard]] inline ChannelSpec channel(std::string from, std::string to) {
    return {.from = std::move(from), .to = std::move(to)};
}

/// One source, two ways through, one sink: source -> left, right -> sink.
[[nodiscard]] inline PipelineSpec diamond() {
    return PipelineBuilder{"diamond"}
        .stage(stage("source", "any_source"))
        .stage(stage("left", "pass", 2))
        .stage(stage("right", "pass"))
        .stage(stage("sink", "eat"))
        .channel(channel("source", "left"))
        .channel({.from = "source", .to = "right", .route = Route::hash, .key = "id"})
        .channel(channel("left", "sink"))
        .channel(channel("right", "sink"))
        .build();
}

}  // namespace penstock
