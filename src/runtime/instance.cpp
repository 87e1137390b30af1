#include "runtime/instance.hpp"

#include <algorithm>
#include <utility>

#include <unistd.h>

#include "base/clock.hpp"
#include "base/deadline.hpp"
#include "base/format.hpp"
#include "runtime/paths.hpp"
#include "runtime/signals.hpp"
#include "spec/names.hpp"

namespace penstock {
namespace {

/// Exit code of a failure that no Errc describes: the operator threw something of its own.
constexpr int operator_failed = 1;
constexpr auto coordinator_answers_within = std::chrono::seconds{3};
constexpr auto status_period = std::chrono::milliseconds{500};

[[nodiscard]] MorselPool::Options pool_options(const PlannedStage& stage) {
    std::size_t morsel_bytes = static_cast<std::size_t>(stage.morsel_kib) << 10U;
    if (stage.morsel_kib == 0) {
        const long cache = sysconf(_SC_LEVEL2_CACHE_SIZE);  // 0 or less if nobody knows
        morsel_bytes =
            std::clamp<std::size_t>(cache > 0 ? static_cast<std::size_t>(cache) / 2 : 64U << 10U,
                                    std::size_t{least_morsel_kib} << 10U, std::size_t{most_morsel_kib} << 10U);
    }
    return {.threads = stage.threads, .morsel_bytes = morsel_bytes, .target_utilization = stage.target_utilization};
}

}  // namespace

Instance::Instance(const Setup& setup)
    : setup_{setup},
      place_{setup.plan.place(setup.rank)},
      planned_{setup.plan.stages[place_.stage]},
      reactor_{setup.reactor},
      status_shape_{status_shape(setup.plan, setup.rank)},
      status_block_{setup.arena.allocate(status_shape_.bytes()).value()},
      status_{setup.arena.at(status_block_.offset), status_shape_},
      drafts_{setup.rank, setup.arena, bodies_, setup.reactor},
      to_coordinator_{&setup.reactor.connect(0, "auto")},
      pool_{pool_options(planned_)} {
    reactor_.set_status(&status_);
    reactor_.set_control(this);
    std::size_t slot = 0;
    input_of_channel_.resize(setup.plan.channels.size());
    for (const std::uint16_t channel : planned_.inputs) {
        inputs_.push_back(std::make_unique<InChannel>(receiving_leg(shape_of(setup.plan, channel)), reactor_, drafts_,
                                                      setup.arena, bodies_, ready_, status_.channel(slot++)));
        input_of_channel_[channel] = inputs_.back().get();
    }
    for (const std::uint16_t channel : planned_.outputs) {
        const ChannelShape shape = shape_of(setup.plan, channel);
        asks_coordinator_ = asks_coordinator_ || shape.asks_coordinator();
        outputs_.push_back(
            std::make_unique<OutChannel>(sending_leg(shape), reactor_, drafts_, status_.channel(slot++)));
        say_who_gets_compressed(shape, *outputs_.back());
    }
    reactor_.set_fetched([this](std::uint64_t token) {
        auto& body = *reinterpret_cast<PayloadBody*>(static_cast<std::uintptr_t>(token));
        input_of_channel_[body.channel]->on_fetched(body);
    });
    serve_descendants();
    reactor_.set_housekeeping([this] { keep_house(); });
}

void Instance::say_who_gets_compressed(const ChannelShape& shape, const OutChannel& output) {
    const auto codec = shape.compression.codec;
    if (codec == Codec::none) return;
    const std::string what = "Channel '" + shape.name + "' ";
    if (output.compresses_for() == 0) {
        return setup_.log.info(what + "compresses nothing: its receivers map the blobs");
    }
    setup_.log.info(what + "compresses with " + std::string{name_of(codec)} + " for " +
                    std::to_string(output.compresses_for()) + " of " + std::to_string(output.receivers()) +
                    " receivers");
}

/// Whoever gets what is made here may fetch it from here, though others have handed it on.
void Instance::serve_descendants() {
    std::vector<std::uint16_t> to_visit = planned_.outputs;
    std::vector<bool> seen(setup_.plan.channels.size(), false);
    while (!to_visit.empty()) {
        const std::uint16_t channel = to_visit.back();
        to_visit.pop_back();
        if (seen[channel]) continue;
        seen[channel] = true;
        const ChannelShape shape = shape_of(setup_.plan, channel);
        for (std::uint32_t i = 0; i < shape.receivers; ++i) {
            reactor_.watch(shape.first_receiver + i, shape.transport_to_owners());
        }
        const auto& next = setup_.plan.stages[setup_.plan.channels[channel].to].outputs;
        to_visit.insert(to_visit.end(), next.begin(), next.end());
    }
}

Instance::~Instance() {
    reactor_.set_housekeeping({});
    reactor_.set_control(nullptr);
    reactor_.set_status(nullptr);
    // An aborted run leaves payloads behind; they are dropped while their homes still stand.
    while (!ready_.empty()) drop_reference(ready_.pop());
}

int Instance::run() {
    std::optional<SignalWatch> signals;
    if (setup_.abandoned == nullptr) signals.emplace(reactor_, true);
    const ExecutorScope kernels{planned_.threads > 1 ? &pool_ : nullptr};
    try {
        try {
            construct();
            tell(ControlCode::ready, status_block_.offset);
            wait_for_go();
            status_.set_activity(Activity::operating, 0);
            if (auto* source = std::get_if<std::unique_ptr<Source>>(&operator_)) {
                run_source(**source);
            } else {
                run_inputs();
            }
            finish();
            end_outputs();
            settle_inputs();
            say_done();
        } catch (Error& error) {
            if (!doing_.empty()) error.add_context(circumstances());
            report(exit_code(error.code()), error.what());
        } catch (const std::exception& error) {
            report(operator_failed,
                   "the operator failed: " + std::string{error.what()} + "\n  while " + circumstances());
        } catch (const Interrupted&) {
            throw;
        } catch (...) {
            report(operator_failed,
                   "the operator threw something that is no std::exception\n  while " + circumstances());
        }
    } catch (const Interrupted&) {
        // The coordinator knows why; what was settled stays.
    } catch (const Error& error) {
        setup_.log.error(error.what());
        exit_code_ = exit_code(error.code());
    }
    return exit_code_;
}

/// What the operator was at, for error messages.
std::string Instance::circumstances() const {
    if (!has_handled_) return doing_;
    // The identity came over the wire: it need not name a rank of this run.
    const bool known = handled_.instance > 0 && handled_.instance < setup_.plan.ranks();
    return doing_ + ", payload " + std::to_string(handled_.sequence) + " of " +
           (known ? setup_.plan.label(handled_.instance) : "rank " + std::to_string(handled_.instance));
}

/// "running finish() of operator 'pass' of middle.0 (rank 2)".
std::string Instance::with_operator(std::string_view doing) const {
    return std::string{doing} + " operator '" + planned_.operator_name + "' of " + setup_.plan.label(setup_.rank) +
           " (rank " + std::to_string(setup_.rank) + ")";
}

void Instance::construct() {
    doing_ = with_operator("creating");
    operator_ = setup_.registry.make(planned_.operator_name, planned_.params, *this);
    if (tick_period_.count() > 0 && std::holds_alternative<std::unique_ptr<Source>>(operator_)) {
        throw Error{Errc::unsupported, "a source has no tick; it waits with StageContext::wait_until"};
    }
    doing_.clear();
}

void Instance::wait_for_go() {
    while (!go_) reactor_.wait(Activity::starting, 0);
}

void Instance::run_source(Source& source) {
    doing_ = with_operator("running produce() of");
    last_breath_ = ticks();
    while (!stopping_) {
        status_.set_activity(Activity::operating, 0);
        if (!source.produce(*this)) break;
        reactor_.flush();
        if (ticks() - last_breath_ > short_while) breathe();
    }
}

void Instance::run_inputs() {
    const bool sink = std::holds_alternative<std::unique_ptr<Sink>>(operator_);
    doing_ = with_operator(sink ? "running consume() of" : "running process() of");
    last_breath_ = ticks();
    for (;;) {
        if (ready_.empty()) {
            reactor_.poll();
            if (ready_.empty()) {
                for (auto& input : inputs_) input->flush_returns();
                if (std::all_of(inputs_.begin(), inputs_.end(), [](const auto& input) { return input->ended(); }) &&
                    ready_.empty()) {
                    return;
                }
                wait_for_input();
                continue;
            }
        }
        const std::uint64_t source_time_ns = ready_.front()->source_time_ns;
        consume(ready_.pop());
        const std::uint64_t now = ticks();
        if (status_shape_.takes_latency) status_.record_latency(source_time_ns, now);
        if (now - last_breath_ > short_while) {
            breathe();
            tick_if_due();
        }
    }
}

void Instance::wait_for_input() {
    std::chrono::nanoseconds at_most = std::chrono::milliseconds{100};
    if (tick_period_.count() > 0) {
        tick_if_due();
        at_most = std::clamp<std::chrono::nanoseconds>(next_tick_ - SteadyClock::now(), {}, at_most);
    }
    // Where several are open the first one stands for all of them.
    const auto open = std::find_if(inputs_.begin(), inputs_.end(), [](const auto& input) { return !input->ended(); });
    const auto index = open == inputs_.end() ? 0 : static_cast<std::size_t>(open - inputs_.begin());
    reactor_.wait(Activity::waiting_for_input, planned_.inputs[index], at_most);
}

/// Counted from the end of the last tick, so that a slow one leaves time for the inputs.
void Instance::tick_if_due() {
    if (tick_period_.count() == 0 || SteadyClock::now() < next_tick_) return;
    const std::string before = std::exchange(doing_, with_operator("running tick() of"));
    const bool had_handled = std::exchange(has_handled_, false);
    status_.set_activity(Activity::operating, 0);
    if (auto* sink = std::get_if<std::unique_ptr<Sink>>(&operator_)) {
        (*sink)->tick();
    } else {
        std::get<std::unique_ptr<Processor>>(operator_)->tick(*this);
        reactor_.flush();
    }
    for (auto& input : inputs_) input->flush_returns();
    doing_ = before;
    has_handled_ = had_handled;
    if (tick_period_.count() > 0) next_tick_ = SteadyClock::now() + tick_period_;
}

void Instance::consume(PayloadBody* body) {
    InChannel& input = *input_of_channel_[body->channel];
    const std::uint32_t edge = body->edge;
    const std::uint64_t bytes = body->size_bytes;
    input.taken();
    status_.set_activity(Activity::operating, body->channel);
    status_.set_payload(body->id.sequence);
    current_ = body;
    handled_ = body->id;
    has_handled_ = true;
    current_has_output_ = false;
    {
        const Payload payload{body};
        if (auto* sink = std::get_if<std::unique_ptr<Sink>>(&operator_)) {
            (*sink)->consume(payload);
        } else {
            std::get<std::unique_ptr<Processor>>(operator_)->process(payload, *this);
            reactor_.flush();
        }
        current_ = nullptr;
    }
    input.return_credit(edge, bytes);
}

void Instance::finish() {
    doing_ = with_operator("running finish() of");
    has_handled_ = false;
    status_.set_activity(Activity::operating, 0);
    if (auto* source = std::get_if<std::unique_ptr<Source>>(&operator_)) (*source)->finish();
    if (auto* processor = std::get_if<std::unique_ptr<Processor>>(&operator_)) (*processor)->finish(*this);
    if (auto* sink = std::get_if<std::unique_ptr<Sink>>(&operator_)) (*sink)->finish();
    // With the operator go the payloads it still holds.
    doing_ = with_operator("destroying");
    std::visit([](auto& held) { held.reset(); }, operator_);
    doing_.clear();
}

void Instance::end_outputs() {
    for (auto& output : outputs_) output->end();
    for (auto& output : outputs_) {
        while (!output->finished()) reactor_.wait(Activity::waiting_for_settlement, output->number());
    }
}

void Instance::settle_inputs() {
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
        inputs_[i]->flush_returns();
        while (!inputs_[i]->all_settled()) {
            reactor_.wait(Activity::waiting_for_settlement, planned_.inputs[i]);
            inputs_[i]->flush_returns();
        }
        inputs_[i]->acknowledge();
    }
}

void Instance::say_done() {
    status_.set_activity(Activity::done, 0);
    tell_status();
    tell(ControlCode::done);
    while (!bye_) reactor_.wait(Activity::done, 0);
}

void Instance::report(int code, const std::string& text) {
    exit_code_ = code;
    setup_.log.error(text);
    tell(ControlCode::failed, static_cast<std::uint64_t>(code), text);
    const auto give_up = SteadyClock::now() + std::chrono::seconds{5};
    while (!bye_ && SteadyClock::now() < give_up) reactor_.wait(Activity::done, 0);
}

/// What must not wait for a busy operator to run dry.
void Instance::breathe() {
    reactor_.poll();
    if (reactor_.interrupted()) throw Interrupted{};
    for (auto& input : inputs_) input->flush_returns();
    keep_house();
    reactor_.flush();
    bring_status_up_to_date();
    last_breath_ = ticks();
}

void Instance::keep_house() {
    drafts_.collect();
    for (auto& output : outputs_) output->pump();
    if (setup_.abandoned == nullptr) check_signals();
    if (setup_.abandoned != nullptr && setup_.abandoned->load(std::memory_order_relaxed)) reactor_.interrupt();
    if (asks_coordinator_) check_leases();
    if (to_coordinator_->capabilities().maps || !go_) return;
    const auto now = SteadyClock::now();
    if (now - last_status_ < status_period) return;
    last_status_ = now;
    tell_status();
}

void Instance::check_leases() {
    const auto now = SteadyClock::now();
    const auto waits = std::find_if(outputs_.begin(), outputs_.end(), [&](const auto& output) {
        return output->coordinator_is_silent(now, coordinator_answers_within);
    });
    const bool is_silent = waits != outputs_.end();
    if (is_silent && !has_complained_) {
        setup_.log.warn("The coordinator has not answered for " + format_duration(coordinator_answers_within) +
                        "; channel '" + (*waits)->name() + "' has used up its leases and waits.");
    }
    has_complained_ = is_silent;
}

void Instance::check_signals() {
    if (SignalWatch::count() == signals_told_) return;
    signals_told_ = SignalWatch::count();
    tell(ControlCode::stop_request, static_cast<std::uint64_t>(SignalWatch::received()));
}

void Instance::tell(ControlCode code, std::uint64_t number, std::string_view text) {
    send_control(reactor_, *to_coordinator_, 0, {code, number, text});
}

void Instance::bring_status_up_to_date() noexcept {
    status_.bring_up_to_date();
    if (planned_.threads == 1) return;
    const MorselPool::Counts counts = pool_.counts();
    status_.set_threads(static_cast<std::uint64_t>(counts.active), counts.pieces, counts.steals);
}

void Instance::tell_status() {
    bring_status_up_to_date();
    // A copy: sending may wait, and what is sent in parts has to be of one moment.
    const std::string all{reinterpret_cast<const char*>(setup_.arena.at(status_block_.offset)), status_shape_.bytes()};
    for (std::size_t at = 0; at < all.size(); at += longest_control_text) {
        tell(ControlCode::status, at, std::string_view{all}.substr(at, longest_control_text));
    }
}

void Instance::on_frame(Rank from, FrameKind, std::span<const std::byte> frame) {
    const auto message = read_control(frame);
    if (!message || from != 0) reactor_.protocol_error(from, "a broken control message");
    switch (message->code) {
        case ControlCode::go: go_ = true; return;
        case ControlCode::stop: stopping_ = true; return;
        case ControlCode::bye: bye_ = true; return;
        case ControlCode::abort:
            exit_code_ = static_cast<int>(message->number);
            bye_ = true;
            reactor_.interrupt();
            return;
        default: reactor_.protocol_error(from, "a control message meant for the coordinator");
    }
}

RawDraft Instance::allocate(DType dtype, const Shape& shape) {
    return RawDraft{drafts_.make(dtype, shape)};
}

void Instance::send(RawDraft draft, std::string_view channel) {
    PayloadBody* body = draft.release();
    if (current_ != nullptr) {
        add_reference(current_);
        body->parent = current_;
        body->source_time_ns = current_->source_time_ns;
        // The first result of an input carries on its identity.
        if (!current_has_output_) {
            body->id = current_->id;
            body->has_id = true;
            if (!body->has_user_id && current_->has_user_id) {
                body->user_id = current_->user_id;
                body->has_user_id = true;
            }
        }
        current_has_output_ = true;
    } else {
        body->source_time_ns = status_.clock().wall_ns(ticks());
    }
    publish(body, channel);
}

void Instance::forward(const Payload& payload, std::string_view channel) {
    if (!payload) throw Error{Errc::invalid_input, "an empty payload was emitted"};
    const PayloadBody& body = *payload.body();
    // Its ticket would name the old owner, who is told when the copy is there.
    if (body.received && !body.settled && body.data == nullptr && input_of_channel_[body.channel]->copies()) {
        static_cast<void>(payload.bytes());
    }
    add_reference(payload.body());
    publish(payload.body(), channel);
}

/// Takes over one reference.
void Instance::publish(PayloadBody* body, std::string_view channel) {
    OutChannel* last = nullptr;  // it gets this reference, and so may be the only one to have any
    for (auto& output : outputs_) {
        if (!channel.empty() && output->name() != channel) continue;
        if (!body->received && !body->has_id) {
            body->id = {setup_.rank, output->number(), output->next_sequence()};
            body->has_id = true;
        }
        if (OutChannel* before = std::exchange(last, output.get())) {
            add_reference(body);
            try {
                before->publish(body);
            } catch (...) {
                drop_reference(body);
                throw;
            }
        }
    }
    if (last != nullptr) return last->publish(body);
    drop_reference(body);
    if (!channel.empty()) {
        std::string names;
        for (const auto& output : outputs_) names += (names.empty() ? "" : ", ") + output->name();
        throw Error{Errc::invalid_input, "stage '" + planned_.name + "' has no output channel '" +
                                             std::string{channel} + "'; it has: " + names};
    }
}

int Instance::upstream_instances() const noexcept {
    int count = 0;
    for (const std::uint16_t channel : planned_.inputs) {
        count += setup_.plan.stages[setup_.plan.channels[channel].from].instances;
    }
    return count;
}

int Instance::downstream_instances() const noexcept {
    int count = 0;
    for (const std::uint16_t channel : planned_.outputs) {
        count += setup_.plan.stages[setup_.plan.channels[channel].to].instances;
    }
    return count;
}

std::vector<ChannelEnd> Instance::ends(const std::vector<std::uint16_t>& channels) const {
    std::vector<ChannelEnd> ends;
    for (const std::uint16_t channel : channels) ends.push_back({channel, setup_.plan.channels[channel].name});
    return ends;
}

std::string Instance::result_path(std::string_view name) const {
    return result_path_in(setup_.results_dir, name, planned_.instances > 1 ? place_.instance : -1);
}

OutputTotals Instance::output_totals() const noexcept {
    OutputTotals totals;
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
        const ChannelStatus& channel = status_.channel(inputs_.size() + i);
        totals.published += channel.published;
        totals.settled += channel.settled;
        totals.dropped += channel.dropped;
    }
    return totals;
}

void Instance::count(std::string_view name, std::uint64_t by) {
    if (!status_.count(name, by)) {
        throw Error{Errc::invalid_input, "an operator has at most 8 counters; no room for '" + std::string{name} + "'"};
    }
}

bool Instance::wait_until(SteadyClock::time_point then) {
    // Wakes up often enough to be seen alive and to notice a stop.
    while (!stopping_) {
        const auto now = SteadyClock::now();
        const bool woken = woken_.load(std::memory_order_relaxed) && woken_.exchange(false);
        if (woken || now >= then) {
            status_.set_activity(Activity::operating, 0);
            return true;
        }
        for (auto& input : inputs_) input->flush_returns();
        status_.add_lap();
        reactor_.wait(Activity::paced, 0,
                      std::min<std::chrono::nanoseconds>(then - now, std::chrono::milliseconds{100}));
    }
    reactor_.resume();
    return false;
}

void Instance::wake() noexcept {
    woken_.store(true);
    reactor_.wake();
}

void Instance::tick_every(std::chrono::nanoseconds period) {
    tick_period_ = bounded(period);
    next_tick_ = SteadyClock::now() + tick_period_;
}

}  // namespace penstock
