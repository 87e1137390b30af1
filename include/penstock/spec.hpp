#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <penstock/compression.hpp>
#include <penstock/params.hpp>

namespace penstock {

enum class Device : std::uint8_t { cpu, gpu };
enum class Route : std::uint8_t { balance, round_robin, hash, broadcast };
enum class Overflow : std::uint8_t { block, drop_oldest, drop_newest, latest, error };
/// Who hands out the right to send: each consumer to its producers in equal parts, or the coordinator to whoever has
/// something to send. `central`: the coordinator gets every ticket and passes it on.
enum class Dispatch : std::uint8_t { automatic, direct, leased, central };
/// Whether blobs stay with their owner until they are needed, or are copied on arrival: by the consumer, of a central
/// channel by the coordinator.
enum class PassBy : std::uint8_t { reference, value };
enum class TransportKind : std::uint8_t { automatic, shm, ucx, ofi, mpi };

[[nodiscard]] std::string_view name_of(Device) noexcept;
[[nodiscard]] std::string_view name_of(Route) noexcept;
[[nodiscard]] std::string_view name_of(Overflow) noexcept;
[[nodiscard]] std::string_view name_of(Dispatch) noexcept;
[[nodiscard]] std::string_view name_of(PassBy) noexcept;
[[nodiscard]] std::string_view name_of(TransportKind) noexcept;
/// "auto" is `automatic`.
/// @throws Error{invalid_input} listing the legal names, Error{unsupported} for one that a later version will have.
[[nodiscard]] TransportKind transport_kind(std::string_view name);

/// How the instances of a stage share the nodes of a job.
enum class PlacementRule : std::uint8_t {
    by_rank,   ///< Where the launcher puts their ranks.
    spread,    ///< Over as many nodes as possible, as evenly as they have room.
    pack,      ///< On as few nodes as possible.
    with,      ///< Instance i beside instance i modulo n of another stage, which has n.
    per_node,  ///< So many on each node, from the first one on; on the last of them what is left.
};

/// The `placement` of a stage.
struct StagePlacement {
    PlacementRule rule = PlacementRule::by_rank;
    std::string stage = {};  ///< The other one, of `with`.
    int per_node = 0;
    std::string constraint = {};  ///< Features that the nodes must have, as `sbatch --constraint` takes them.
    std::string partition = {};   ///< Of the nodes, as `sbatch --partition` takes it.

    [[nodiscard]] static StagePlacement spread() { return {.rule = PlacementRule::spread}; }
    [[nodiscard]] static StagePlacement pack() { return {.rule = PlacementRule::pack}; }
    [[nodiscard]] static StagePlacement with(std::string stage) {
        return {.rule = PlacementRule::with, .stage = std::move(stage)};
    }
    [[nodiscard]] static StagePlacement on_each_node(int instances) {
        return {.rule = PlacementRule::per_node, .per_node = instances};
    }
    /// On nodes that have those features: `StagePlacement::on_each_node(2).on("gpu")`.
    [[nodiscard]] StagePlacement on(std::string features) const {
        StagePlacement placement = *this;
        placement.constraint = std::move(features);
        return placement;
    }
    friend bool operator==(const StagePlacement&, const StagePlacement&) = default;
};

/// One step of a pipeline.
struct StageSpec {
    /// As many instances as there are processes left for.
    static constexpr int fill = -1;

    std::string name;
    std::string operator_name;
    Params params = {};
    int instances = 1;  ///< Or `fill`.
    int threads = 1;
    int morsel_kib = 64;              ///< Of a blob that is one piece of work for a thread; 0 for a share of the cache.
    double target_utilization = 0.8;  ///< Threads that would be busy for less of a payload's time are left out.
    /// The coordinator sends nothing to instances that are not needed to stay below `target_utilization`.
    bool park_idle = false;
    Device device = Device::cpu;
    std::map<std::string, std::string> env = {};
    StagePlacement placement = {};
    /// The stage ends within so long after the start of the run, or the run fails. 0: as long as it takes.
    std::chrono::milliseconds timeout{0};
    /// Stages of other phases, which have ended with success before the phase of this stage starts. A phase is all
    /// stages that channels join; parameters that begin with "{results:stage}" name files of an earlier one.
    std::vector<std::string> after = {};
    std::string where = {};  ///< Place in the file, for messages: "jobs/x.json:4: /stages/0". Empty from the builder.
};

/// A named edge between two stages.
struct ChannelSpec {
    std::string name = {};  ///< Empty means "<from>-<to>".
    std::string from;
    std::string to;
    Route route = Route::balance;
    std::string key = {};                         ///< Metadata key, for `hash`.
    std::uint32_t capacity = 64;                  ///< Payloads a consumer instance's queue may hold.
    std::uint64_t capacity_bytes = 64ULL << 20U;  ///< Bytes it may hold; a single larger payload is let through alone.
    Overflow overflow = Overflow::block;
    /// `automatic`: `leased` where several instances share the payloads and it is possible, else `direct`.
    Dispatch dispatch = Dispatch::automatic;
    PassBy by = PassBy::reference;
    TransportKind transport = TransportKind::automatic;
    std::string filter = {};       ///< "energy > 5": only payloads whose metadata pass are handed on. Empty: all.
    std::uint32_t sample = 1;      ///< Of those, each producer instance hands on the first of every so many.
    Compression compression = {};  ///< Of blobs that are fetched; where they are mapped there is nothing to save.
    Checksum checksum = Checksum::none;
    std::string where = {};
};

/// A pipeline as described in a file or by the builder; not yet checked against a registry. A value.
struct PipelineSpec {
    std::string name;
    std::vector<StageSpec> stages;
    std::vector<ChannelSpec> channels;
    std::string file = {};  ///< File it was read from; empty from the builder.
};

/// Reads a pipeline file (JSON, the native format, strict).
/// @throws Error{invalid_input} with the file, the line, the JSON path and the remedy.
[[nodiscard]] PipelineSpec load_pipeline(const std::string& path);
/// The same from text; `name` stands for the file in messages.
[[nodiscard]] PipelineSpec parse_pipeline(std::string_view text, const std::string& name = "<text>");
/// Writes a specification in the native format; `parse_pipeline` reads it back to an equal one.
[[nodiscard]] std::string to_json(const PipelineSpec& spec);
/// The JSON Schema (2020-12) of the native format.
[[nodiscard]] std::string_view pipeline_schema() noexcept;

/// Applies one "stage.param=value" to the specification; the value is read as JSON, else as a string.
/// `stage.instances=N` sets the number of instances, `stage.instances=fill` lets them fill the job.
/// @throws Error{invalid_input} if the text has another form or there is no such stage.
void apply_setting(PipelineSpec& spec, std::string_view setting);

/// Builds a specification with the words of the pipeline file.
///
///     Params output;
///     output.set("output", {std::string{"r.csv"}});
///     auto spec = PipelineBuilder{"demo"}
///                     .stage({.name = "make", .operator_name = "records"})
///                     .stage({.name = "write", .operator_name = "csv_sink", .params = output})
///                     .channel({.from = "make", .to = "write"})
///                     .build();
class PipelineBuilder {
public:
    explicit PipelineBuilder(std::string name) { spec_.name = std::move(name); }
    PipelineBuilder& stage(StageSpec stage) {
        spec_.stages.push_back(std::move(stage));
        return *this;
    }
    PipelineBuilder& channel(ChannelSpec channel) {
        spec_.channels.push_back(std::move(channel));
        return *this;
    }
    [[nodiscard]] PipelineSpec build() const { return spec_; }

private:
    PipelineSpec spec_;
};

}  // namespace penstock
