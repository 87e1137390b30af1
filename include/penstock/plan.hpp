#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/operator.hpp>
#include <penstock/spec.hpp>

namespace penstock {

/// A stage of a checked pipeline.
struct PlannedStage {
    std::string name;
    std::string operator_name;
    OperatorKind kind;
    Params params;                           ///< Complete: defaults and environment applied.
    std::map<std::string, std::string> env;  ///< Set in the process of every instance.
    int instances;
    int threads;
    std::uint32_t first_rank;            ///< Instance i runs as rank first_rank + i.
    std::vector<std::uint16_t> inputs;   ///< Channels, in plan order.
    std::vector<std::uint16_t> outputs;  ///< Channels, in plan order.
    Device device = Device::cpu;
    int morsel_kib = 64;  ///< 0 for a share of the cache of the machine it runs on.
    double target_utilization = 0.8;
    bool park_idle = false;
    StagePlacement placement = {};
    std::chrono::milliseconds timeout{0};  ///< 0: none.
};

/// A channel of a checked pipeline. Its place in `Plan::channels` is its number on the wire.
struct PlannedChannel {
    std::string name;
    std::uint16_t from;  ///< Stage, in plan order.
    std::uint16_t to;
    Route route;
    std::string key;
    std::uint32_t capacity;
    std::uint64_t capacity_bytes;
    Overflow overflow;
    Dispatch dispatch;  ///< Never `automatic`.
    PassBy by;
    TransportKind transport;
    std::string filter = {};
    std::uint32_t sample = 1;
    Compression compression = {};  ///< With its level, unless there is none.
    Checksum checksum = Checksum::none;
};

struct Place {
    std::uint16_t stage;
    int instance;
};

/// Where a plan stands among the phases of its pipeline.
struct PhaseInfo {
    std::string name;                              ///< That of its first stage.
    std::uint32_t number;                          ///< From 1, in an order in which they can run.
    std::uint32_t of;                              ///< How many there are.
    std::vector<std::string> after = {};           ///< The phases that its stages name.
    std::map<std::string, std::string> runs = {};  ///< The run directories of earlier phases, where they are known.
};

/// A checked graph with its instances placed on ranks: rank 0 coordinates, ranks 1..n are the instances in stage order
/// (of each kind of nodes together). A value; the same specification and registry give the same plan everywhere.
struct Plan {
    std::string pipeline;
    std::vector<PlannedStage> stages;
    std::vector<PlannedChannel> channels;
    std::optional<PhaseInfo> phase = {};  ///< Nothing for a pipeline whose stages all run together.

    /// Number of processes, the coordinator included.
    [[nodiscard]] std::uint32_t ranks() const noexcept;
    /// REQUIRES: 1 <= rank < ranks().
    [[nodiscard]] Place place(std::uint32_t rank) const noexcept;
    /// "producer.0" for an instance, "coordinator" for rank 0.
    [[nodiscard]] std::string label(std::uint32_t rank) const;
};

/// The phases of a checked pipeline, each after all that it waits for: a plan of its own for each, or one for all
/// stages where none has an `after`.
struct Chain {
    std::string pipeline;
    std::vector<Plan> phases;

    /// Of the largest phase.
    [[nodiscard]] std::uint32_t ranks() const noexcept;
    /// The phase of a stage. @throws Error{invalid_input} if there is no such stage.
    [[nodiscard]] const Plan& phase_of(std::string_view stage) const;
};

/// Checks a specification against the registry and places its instances.
/// @param processes  How many there are, for stages that fill the job: those that the others leave are shared in equal
/// parts, at least one each. 0: one for each processor that this process may use, and the coordinator.
/// @throws Error{invalid_input} naming the place in the file, every problem found and the remedy; Error{unsupported}
/// for a pipeline with phases, which does not run as one.
[[nodiscard]] Plan make_plan(const PipelineSpec& spec, const Registry& registry, std::uint32_t processes = 0);

/// The same for all phases of a pipeline. Stages that fill share the processes of their phase.
[[nodiscard]] Chain make_chain(const PipelineSpec& spec, const Registry& registry, std::uint32_t processes = 0);

}  // namespace penstock
