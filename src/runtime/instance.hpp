#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <penstock/log.hpp>
#include <penstock/operator.hpp>
#include <penstock/plan.hpp>

#include "base/morsel_pool.hpp"
#include "memory/arena.hpp"
#include "runtime/control.hpp"
#include "runtime/drafts.hpp"
#include "runtime/in_channel.hpp"
#include "runtime/out_channel.hpp"
#include "runtime/reactor.hpp"

namespace penstock {

/// One running copy of a stage: runs its operator between its input and its output channels, on the calling thread.
class Instance final : private Output, private StageContext, private FrameReceiver {
public:
    struct Setup {
        const Plan& plan;
        const Registry& registry;
        Rank rank;
        Arena& arena;
        Reactor& reactor;
        Logger& log;
        std::string results_dir;
        Provenance provenance;
        std::optional<int> communicator = {};  ///< Of the stage's instances, as MPI_Comm_f2c takes it.
        /// Of an instance that is a thread of the coordinator's process: true when nobody coordinates any more. Signals
        /// are then that process's own business. Null where the instance has its process to itself.
        const std::atomic<bool>* abandoned = nullptr;
    };
    explicit Instance(const Setup& setup);
    ~Instance() override;

    /// Runs from "ready" to "bye". A failure is reported to the coordinator, not thrown.
    /// @return the exit code of the run as this instance learnt it.
    int run();

private:
    struct Status;

    // Output
    RawDraft allocate(DType dtype, const Shape& shape) override;
    void send(RawDraft draft, std::string_view channel) override;
    void forward(const Payload& payload, std::string_view channel) override;
    void publish(PayloadBody* body, std::string_view channel);

    // StageContext
    std::string_view stage() const noexcept override { return planned_.name; }
    int instance() const noexcept override { return place_.instance; }
    int instances() const noexcept override { return planned_.instances; }
    int upstream_instances() const noexcept override;
    int downstream_instances() const noexcept override;
    std::vector<ChannelEnd> inputs() const override { return ends(planned_.inputs); }
    std::vector<ChannelEnd> outputs() const override { return ends(planned_.outputs); }
    std::string result_path(std::string_view name) const override;
    const Provenance& provenance() const noexcept override { return setup_.provenance; }
    Logger& log() noexcept override { return setup_.log; }
    OutputTotals output_totals() const noexcept override;
    void count(std::string_view name, std::uint64_t by) override;
    bool wait_until(SteadyClock::time_point then) override;
    void wake() noexcept override;
    void tick_every(std::chrono::nanoseconds period) override;
    Executor& executor() noexcept override { return pool_; }
    std::optional<int> communicator() const noexcept override { return setup_.communicator; }
    bool has_gpu() const noexcept override { return planned_.device == Device::gpu; }

    void on_frame(Rank from, FrameKind kind, std::span<const std::byte> frame) override;

    [[nodiscard]] std::vector<ChannelEnd> ends(const std::vector<std::uint16_t>& channels) const;
    [[nodiscard]] std::string circumstances() const;
    [[nodiscard]] std::string with_operator(std::string_view doing) const;
    void say_who_gets_compressed(const ChannelShape& shape, const OutChannel& output);
    void serve_descendants();
    void construct();
    void wait_for_go();
    void run_source(Source& source);
    void run_inputs();
    void consume(PayloadBody* body);
    void wait_for_input();
    void tick_if_due();
    void finish();
    void end_outputs();
    void settle_inputs();
    void say_done();
    void report(int exit_code, const std::string& text);
    void breathe();
    void keep_house();
    void check_leases();
    void check_signals();
    void tell(ControlCode code, std::uint64_t number = 0, std::string_view text = {});
    void tell_status();
    void bring_status_up_to_date() noexcept;

    Setup setup_;
    Place place_;
    const PlannedStage& planned_;
    Reactor& reactor_;
    StatusShape status_shape_;
    Block status_block_;
    StatusBlock status_;
    BodyPool bodies_;
    Drafts drafts_;
    ReadyQueue ready_{256};
    std::vector<std::unique_ptr<InChannel>> inputs_;
    std::vector<std::unique_ptr<OutChannel>> outputs_;
    std::vector<InChannel*> input_of_channel_;
    Transport* to_coordinator_;
    MorselPool pool_;
    Operator operator_;
    std::string doing_;               // for error messages: the hook that runs
    PayloadBody* current_ = nullptr;  // the input in the operator's hands
    PayloadId handled_{};             // the last input, for error messages
    bool has_handled_ = false;
    bool current_has_output_ = false;
    bool go_ = false;
    bool stopping_ = false;
    bool bye_ = false;
    int exit_code_ = 0;
    int signals_told_ = 0;
    std::atomic<bool> woken_{false};
    bool asks_coordinator_ = false;  // for leases
    bool has_complained_ = false;    // that the coordinator is silent
    std::uint64_t last_breath_ = 0;
    SteadyClock::time_point last_status_{};
    std::chrono::nanoseconds tick_period_{0};  // 0: nobody asked
    SteadyClock::time_point next_tick_{};
};

}  // namespace penstock
