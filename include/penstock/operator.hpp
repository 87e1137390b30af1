#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include <penstock/executor.hpp>
#include <penstock/log.hpp>
#include <penstock/memory.hpp>
#include <penstock/params.hpp>

namespace penstock {

/// Where an operator puts its results. The runtime decides which instances receive them.
/// Used by the thread that runs the operator, during a call into the operator only.
class Output {
public:
    virtual ~Output() = default;

    /// Memory for one payload, from the instance's own arena: aligned to 64 bytes, uninitialised.
    /// Waits while the arena is full of unsettled payloads.
    /// @throws Error{invalid_input} if it is larger than the arena, Error{timed_out} if nothing is settled in time.
    template <Wire T>
    [[nodiscard]] Draft<T> draft(const Shape& shape) {
        return Draft<T>{allocate(dtype_of<T>(), shape)};
    }
    /// One-dimensional.
    template <Wire T>
    [[nodiscard]] Draft<T> draft(std::size_t count) {
        return Draft<T>{allocate(dtype_of<T>(), Shape{count})};
    }

    /// Seals the draft and hands it to every downstream channel. Blocks while a channel is full, if the channel's
    /// overflow policy says so.
    /// @throws Error{exhausted} when full under `overflow: error`; Error{disconnected} if a receiver is gone.
    void emit(RawDraft draft) { send(std::move(draft), {}); }
    /// The same, to the channel of that name only.
    void emit(std::string_view channel, RawDraft draft) { send(std::move(draft), channel); }
    /// Passes a payload on as it is, by reference; its owner keeps the bytes until everybody has settled it.
    void emit(const Payload& payload) { forward(payload, {}); }
    void emit(std::string_view channel, const Payload& payload) { forward(payload, channel); }

private:
    [[nodiscard]] virtual RawDraft allocate(DType dtype, const Shape& shape) = 0;
    virtual void send(RawDraft draft, std::string_view channel) = 0;
    virtual void forward(const Payload& payload, std::string_view channel) = 0;
};

/// What has become of the payloads that one instance emitted, over all its channels and their receivers.
struct OutputTotals {
    std::uint64_t published = 0;  ///< Handed to a channel, once per receiver that was to get it.
    std::uint64_t settled = 0;    ///< Done with by their receivers.
    std::uint64_t dropped = 0;    ///< By the overflow policy.
    /// On their way or in a queue.
    [[nodiscard]] std::uint64_t pending() const noexcept { return published - settled - dropped; }
};

/// A channel as the stage at one of its ends sees it.
struct ChannelEnd {
    std::uint16_t number = 0;  ///< What `Payload::channel` says of the payloads that come through it.
    std::string name;          ///< What `Output::emit` takes.
};

/// Where the results of a run come from, for files that outlive it.
struct Provenance {
    std::string pipeline = {};            ///< Its name.
    std::string plan = {};                ///< The checked pipeline and who runs where: plan.json of the run directory.
    std::string run = {};                 ///< Path of the run directory.
    std::uint32_t rank = 0;               ///< Of this instance.
    std::vector<std::string> hosts = {};  ///< By rank.
    std::vector<std::string> transports = {};  ///< "CHANNEL: TRANSPORT" for each channel of the stage.
};

/// What an operator instance may know about where it runs. Lives as long as the operator.
class StageContext {
public:
    virtual ~StageContext() = default;

    [[nodiscard]] virtual std::string_view stage() const noexcept = 0;
    [[nodiscard]] virtual int instance() const noexcept = 0;
    [[nodiscard]] virtual int instances() const noexcept = 0;
    [[nodiscard]] virtual int upstream_instances() const noexcept = 0;
    [[nodiscard]] virtual int downstream_instances() const noexcept = 0;
    /// The channels that lead into this stage and out of it, in plan order.
    [[nodiscard]] virtual std::vector<ChannelEnd> inputs() const = 0;
    [[nodiscard]] virtual std::vector<ChannelEnd> outputs() const = 0;
    /// Absolute path for a result file: a relative name lies in the run directory's `results/` and gets the
    /// instance number before its suffix when the stage has several instances.
    /// @throws Error{invalid_input} for an empty name or one that climbs out with "..".
    [[nodiscard]] virtual std::string result_path(std::string_view name) const = 0;
    [[nodiscard]] virtual const Provenance& provenance() const noexcept = 0;
    [[nodiscard]] virtual Logger& log() noexcept = 0;

    [[nodiscard]] virtual OutputTotals output_totals() const noexcept = 0;

    /// Adds to a counter of this instance that the statistics and the final report show ("records", "malformed").
    /// At most 8 names per instance. Cheap: one relaxed store.
    virtual void count(std::string_view name, std::uint64_t by) = 0;

    /// Sleeps until then, or until the run stops, while the transports keep moving. Not counted as a stall.
    /// @return false if the run is stopping.
    virtual bool wait_until(std::chrono::steady_clock::time_point then) = 0;

    /// Ends the `wait_until` that the operator is in, or else its next one: there is something to do. For operators
    /// with threads of their own, from any of them.
    virtual void wake() noexcept = 0;

    /// From now on the operator's `tick` is called whenever that much time has passed since this call or the last tick,
    /// also while no payload comes: never earlier, never during another call into the operator, and not after the last
    /// input. Zero ends it. For processors and sinks; a source waits with `wait_until`.
    virtual void tick_every(std::chrono::nanoseconds period) = 0;

    /// The threads of this instance (`threads` of its stage), for work on a payload. The built-in kernels use them by
    /// themselves.
    [[nodiscard]] virtual Executor& executor() noexcept = 0;

    /// Whether the stage has `"device": "gpu"`. Then the only GPU that CUDA, HIP or Kokkos shows this instance is its
    /// own, number 0, from before the operator is constructed. Payloads are in host memory all the same.
    [[nodiscard]] virtual bool has_gpu() const noexcept { return false; }

    /// The MPI communicator of the stage's instances, whose ranks are their numbers, as MPI_Comm_f2c takes it; nothing
    /// in a run that MPI has not started. MPI may be used by the thread that runs the operator only. The runtime sends
    /// nothing through it.
    [[nodiscard]] virtual std::optional<int> communicator() const noexcept = 0;
};

/// Creates payloads. One object per instance; never called concurrently.
class Source {
public:
    virtual ~Source() = default;
    /// @return false once the stream has ended; nothing is emitted by that call.
    virtual bool produce(Output& out) = 0;
    /// Called once after the last `produce`, also when the run is stopped early.
    virtual void finish() {}
};

/// Turns inputs into outputs. One object per instance; never called concurrently.
class Processor {
public:
    virtual ~Processor() = default;
    virtual void process(const Payload& in, Output& out) = 0;
    /// Called as often as `StageContext::tick_every` was asked for; not at all if it was not.
    virtual void tick(Output&) {}
    /// Called once after the last input, to emit what is still held back.
    virtual void finish(Output&) {}
};

/// Consumes payloads. A payload is settled when `consume` has returned and no handle to it is kept.
class Sink {
public:
    virtual ~Sink() = default;
    virtual void consume(const Payload& in) = 0;
    /// Called as often as `StageContext::tick_every` was asked for; not at all if it was not.
    virtual void tick() {}
    /// Called once after the last input; what it throws fails the run.
    virtual void finish() {}
};

enum class OperatorKind : std::uint8_t { source, processor, sink };
[[nodiscard]] std::string_view name_of(OperatorKind kind) noexcept;

enum class ParamKind : std::uint8_t {
    boolean,
    integer,
    number,
    string,
    list,
    duration,  ///< "100ms", "2s", or a number of milliseconds; `complete` makes it a number of milliseconds.
    size,      ///< "64KiB", "1MB", or a number of bytes; `complete` makes it an integer number of bytes.
};
[[nodiscard]] std::string_view name_of(ParamKind kind) noexcept;

/// Describes one parameter: for checking, for defaults and for `penstock operators NAME`.
struct ParamInfo {
    std::string name;
    ParamKind kind = ParamKind::string;
    std::string help;                         ///< One sentence.
    std::optional<ParamValue> fallback = {};  ///< Without one the parameter is required.
    std::string unit = {};                    ///< "ms", "bytes", "" for none.
    std::string env = {};                     ///< Variable in the stage's `env` that sets it when `params` does not.
    std::optional<double> minimum = {};       ///< Smallest legal number, inclusive.
    std::optional<double> maximum = {};       ///< Largest legal number, inclusive.
    std::vector<std::string> choices = {};    ///< Legal strings, when they are few.
};

/// Describes an operator. `input` and `output` name payload types ("text/csv", "f64"), several as "f32 or f64";
/// "numbers" stands for every dtype of numbers, empty for any payload.
struct OperatorInfo {
    std::string name;
    OperatorKind kind = OperatorKind::processor;
    std::string help;  ///< One sentence.
    std::string input = {};
    std::string output = {};
    std::vector<ParamInfo> params = {};
    bool any_params = false;  ///< Takes parameters that `params` does not name (operators added without a description).
    bool gpu = false;         ///< Can use a GPU: a stage of it may have "device": "gpu" (`StageContext::has_gpu`).
};

/// An operator of one of the three kinds.
using Operator = std::variant<std::unique_ptr<Source>, std::unique_ptr<Processor>, std::unique_ptr<Sink>>;

/// The operators a program knows, by name. Built in `main`, read-only afterwards; no global state.
class Registry {
public:
    using Factory = std::function<Operator(const Params&, StageContext&)>;

    /// Knows the built-in operators.
    [[nodiscard]] static Registry with_builtins();

    /// @throws Error{invalid_input} if the name is taken or is no identifier.
    void add(OperatorInfo info, Factory factory);

    /// Adds class T, constructed from (Params, StageContext), from (Params) or from nothing.
    template <class T>
    void add(std::string name) {
        OperatorInfo info{.name = std::move(name), .kind = kind_of<T>(), .help = "", .any_params = true};
        add<T>(std::move(info));
    }
    template <class T>
    void add(OperatorInfo info) {
        info.kind = kind_of<T>();
        add(std::move(info), Factory{[](const Params& params, StageContext& context) -> Operator {
                return construct<T>(params, context);
            }});
    }

    [[nodiscard]] const OperatorInfo* find(std::string_view name) const noexcept;
    /// Sorted by name.
    [[nodiscard]] std::vector<const OperatorInfo*> list() const;
    /// The registered name nearest to a mistyped one, if it is near enough to be meant.
    [[nodiscard]] std::optional<std::string> nearest(std::string_view name) const;

    /// Checks the parameters against the description, takes missing ones from `env` and fills in the defaults.
    /// @throws Error{invalid_input} naming the parameter and what is legal.
    [[nodiscard]] Params complete(const OperatorInfo& info, const Params& given,
                                  const std::map<std::string, std::string>& env) const;

    /// @throws Error{invalid_input} if there is no operator of that name, and whatever its constructor throws.
    [[nodiscard]] Operator make(std::string_view name, const Params& params, StageContext& context) const;

private:
    template <class T>
    [[nodiscard]] static constexpr OperatorKind kind_of() {
        static_assert(std::is_base_of_v<Source, T> || std::is_base_of_v<Processor, T> || std::is_base_of_v<Sink, T>,
                      "an operator derives from Source, Processor or Sink");
        if constexpr (std::is_base_of_v<Source, T>) return OperatorKind::source;
        if constexpr (std::is_base_of_v<Processor, T>) return OperatorKind::processor;
        return OperatorKind::sink;
    }
    template <class T>
    [[nodiscard]] static auto construct([[maybe_unused]] const Params& params, [[maybe_unused]] StageContext& context) {
        using Base = std::conditional_t<std::is_base_of_v<Source, T>, Source,
                                        std::conditional_t<std::is_base_of_v<Processor, T>, Processor, Sink>>;
        if constexpr (std::is_constructible_v<T, const Params&, StageContext&>) {
            return std::unique_ptr<Base>{std::make_unique<T>(params, context)};
        } else if constexpr (std::is_constructible_v<T, const Params&>) {
            return std::unique_ptr<Base>{std::make_unique<T>(params)};
        } else {
            return std::unique_ptr<Base>{std::make_unique<T>()};
        }
    }

    struct Entry {
        OperatorInfo info;
        Factory factory;
    };
    std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace penstock
