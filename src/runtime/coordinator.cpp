#include "runtime/coordinator.hpp"

#include <algorithm>
#include <functional>

#include "base/format.hpp"
#include "runtime/signals.hpp"

namespace penstock {
namespace {

constexpr auto parting_time = std::chrono::seconds{1};
/// Without its signal nothing tells of a process that has ended.
constexpr std::chrono::nanoseconds between_looks_at_processes = std::chrono::milliseconds{20};

}  // namespace

Coordinator::Coordinator(Setup setup) : setup_{std::move(setup)}, drafts_{0, setup_.arena, bodies_, setup_.reactor} {
    const Plan& plan = setup_.plan;
    for (Rank rank = 1; rank < plan.ranks(); ++rank) {
        members_.push_back({.transport = &setup_.reactor.connect(rank, "auto"), .shape = status_shape(plan, rank)});
        run_.instances.push_back(InstanceView{.rank = rank, .status = empty_status(members_.back().shape)});
    }
    run_.several_hosts = setup_.several_hosts;
    run_.thresholds = setup_.thresholds;
    run_.thresholds_file = setup_.thresholds_file;
    open_channels();
    setup_.reactor.set_control(this);
    setup_.reactor.set_housekeeping([this] { keep_house(); });
    setup_.reactor.set_fetched([this](std::uint64_t token) {
        auto& body = *reinterpret_cast<PayloadBody*>(static_cast<std::uintptr_t>(token));
        for (auto& broker : brokers_) {
            if (broker->channel() == body.channel) broker->on_fetched(body);
        }
    });
}

void Coordinator::open_channels() {
    const Plan& plan = setup_.plan;
    const auto copying = std::count_if(plan.channels.begin(), plan.channels.end(), [](const PlannedChannel& channel) {
        return channel.dispatch == Dispatch::central && channel.by == PassBy::value;
    });
    const std::uint64_t share =
        setup_.options.arena_bytes / std::max<std::uint64_t>(static_cast<std::uint64_t>(copying), 1);
    std::vector<std::vector<ChannelLeases*>> of_parking(plan.stages.size());
    for (std::uint16_t channel = 0; channel < plan.channels.size(); ++channel) {
        const ChannelShape shape = shape_of(plan, channel);
        if (shape.asks_coordinator()) leases_.push_back(std::make_unique<ChannelLeases>(shape, setup_.reactor));
        if (shape.parks_receivers) of_parking[plan.channels[channel].to].push_back(leases_.back().get());
        if (shape.dispatch != Dispatch::central) continue;
        brokers_.push_back(
            std::make_unique<Broker>(shape, Broker::Process{setup_.reactor, drafts_, setup_.arena, bodies_}, share));
    }
    for (std::size_t stage = 0; stage < plan.stages.size(); ++stage) {
        if (!plan.stages[stage].park_idle) continue;
        parking_.emplace_back(plan, stage, std::move(of_parking[stage]), setup_.log);
    }
}

void Coordinator::keep_house() {
    for (auto& leases : leases_) leases->serve();
    if (run_.state == RunState::failed) return;
    for (auto& broker : brokers_) broker->pump();
}

Coordinator::~Coordinator() {
    setup_.reactor.set_fetched({});
    setup_.reactor.set_housekeeping({});
    setup_.reactor.set_control(nullptr);
}

RunSnapshot Coordinator::run() {
    std::optional<SignalWatch> signals;
    if (setup_.takes_signals) signals.emplace(setup_.reactor, false);
    const auto detach = [](RunControl* control) { control->attach(nullptr); };
    const std::unique_ptr<RunControl, decltype(detach)> attached{setup_.control, detach};
    if (attached) attached->attach(&setup_.reactor);
    try {
        wait_for_all_ready();
        if (run_.state == RunState::starting) {
            run_.state = RunState::running;
            broadcast(ControlCode::go);
            watch_until_done();
        }
    } catch (const Error& error) {
        fail(exit_code(error.code()), error.what());
    }
    part();
    refresh();
    if (run_.state == RunState::running) run_.state = RunState::completed;
    if (run_.state == RunState::stopping) {
        run_.state = RunState::cancelled;
        run_.exit_code = 128 + stop_signal_;
        run_.error = "stopped by signal " + std::to_string(stop_signal_) + "; everything under way was drained";
    }
    setup_.on_snapshot(run_);
    return run_;
}

void Coordinator::wait_for_all_ready() {
    const auto deadline = start_ + setup_.options.start_timeout;
    while (ready_ < members_.size() && run_.state == RunState::starting) {
        setup_.reactor.wait(Activity::starting, 0);
        check_processes();
        check_signals();
        if (SteadyClock::now() < deadline || ready_ == members_.size()) continue;
        std::string missing;
        for (const InstanceView& view : run_.instances) {
            if (!view.ready) missing += (missing.empty() ? "" : ", ") + who(view.rank);
        }
        fail(exit_code(Errc::timed_out), "timed out: not ready after " + format_duration(setup_.options.start_timeout) +
                                             ": " + missing + "; raise --start-timeout if they need longer");
    }
}

void Coordinator::watch_until_done() {
    looked_at_ = moved_at_ = SteadyClock::now();
    set_timeouts();
    const auto stall = setup_.options.stall_timeout;
    const auto look = stall.count() > 0 ? std::clamp<std::chrono::nanoseconds>(stall / 4, std::chrono::milliseconds{20},
                                                                               std::chrono::milliseconds{500})
                                        : std::chrono::nanoseconds{std::chrono::milliseconds{500}};
    const auto nap = setup_.takes_signals ? look : std::min(look, between_looks_at_processes);
    while (done_ < members_.size() && run_.state != RunState::failed) {
        setup_.reactor.wait(Activity::waiting_for_input, 0, std::min({nap, recall_leases(), time_to_timeout()}));
        check_processes();
        check_signals();
        check_timeouts();
        if (SteadyClock::now() - refreshed_ < look) continue;
        refresh();
        check_stall();
        if (run_.state == RunState::running) {
            for (StageParking& parking : parking_) parking.look(run_);
        }
        setup_.on_snapshot(run_);
    }
}

/// They count from when all are ready.
void Coordinator::set_timeouts() {
    for (std::size_t stage = 0; stage < setup_.plan.stages.size(); ++stage) {
        const auto timeout = setup_.plan.stages[stage].timeout;
        if (timeout.count() > 0) timeouts_.push_back({.deadline = moved_at_ + timeout, .stage = stage});
    }
    std::ranges::sort(timeouts_, std::greater{}, &StageTimeout::deadline);
}

std::chrono::nanoseconds Coordinator::time_to_timeout() const {
    if (timeouts_.empty()) return std::chrono::nanoseconds::max();
    return std::max(timeouts_.back().deadline - SteadyClock::now(), SteadyClock::duration::zero());
}

void Coordinator::check_timeouts() {
    while (time_to_timeout() == std::chrono::nanoseconds::zero()) {
        const PlannedStage& stage = setup_.plan.stages[timeouts_.back().stage];
        timeouts_.pop_back();
        const auto views =
            std::span{run_.instances}.subspan(stage.first_rank - 1, static_cast<std::size_t>(stage.instances));
        const auto going = std::ranges::count(views, false, &InstanceView::done);
        if (going == 0 || run_.state == RunState::failed) continue;
        refresh();
        run_.aborted = true;
        fail(exit_code(Errc::timed_out), "timed out: stage '" + stage.name + "' has not ended within its timeout of " +
                                             format_duration(stage.timeout) + ", " + std::to_string(going) + " of " +
                                             std::to_string(stage.instances) + " instances go on\n" +
                                             waiting_report(setup_.plan, run_) +
                                             "  raise \"timeout\" of the stage if it may take longer");
    }
}

/// @return how long it may be until the next time.
std::chrono::nanoseconds Coordinator::recall_leases() {
    if (leases_.empty()) return std::chrono::nanoseconds::max();
    const auto now = SteadyClock::now();
    auto next = SteadyClock::time_point::max();
    for (auto& leases : leases_) next = std::min(next, leases->recall(now));
    setup_.reactor.flush();
    return next - now;
}

void Coordinator::check_processes() {
    // Not at every turn of a loop that is busy with leases: it asks the kernel about each process.
    if (ticks() - checked_ < short_while) return;
    checked_ = ticks();
    for (const Supervisor::Lost& lost : setup_.supervisor.lost()) {
        setup_.reactor.poll();  // it may have said why
        const bool is_link = lost.seen_by != 0;
        if (!is_link) members_[lost.rank - 1].transport->forget(lost.rank);
        const bool needed = !run_.instances[lost.rank - 1].done && !(is_link && run_.instances[lost.seen_by - 1].done);
        if (!needed && run_.state != RunState::starting) continue;
        run_.aborted = true;
        fail(exit_code(Errc::disconnected), "disconnected: " + who(lost.rank) + " " + lost.how);
    }
}

void Coordinator::check_signals() {
    if (setup_.control != nullptr) check_wishes();
    if (!setup_.takes_signals) return;
    const int count = SignalWatch::count();
    if (count == 0) return;
    if (stop_signal_ == 0) {
        if (run_.state == RunState::starting) {
            stop_signal_ = SignalWatch::received();
            run_.exit_code = 128 + stop_signal_;
            return fail(run_.exit_code, "stopped by signal " + std::to_string(stop_signal_) + " before it had started");
        }
        return stop(SignalWatch::received());
    }
    if (count > 1 && run_.state == RunState::stopping) {
        run_.aborted = true;
        fail(128 + stop_signal_, "aborted by a second signal; what was not settled is lost");
    }
}

void Coordinator::check_wishes() {
    const RunControl::Wishes wishes = setup_.control->take();
    if (wishes.stop) broadcast(ControlCode::stop);
    if (wishes.look) {
        refresh();
        setup_.on_snapshot(run_);
    }
    if (wishes.abort) {
        run_.aborted = true;
        fail(exit_code(wishes.abort->code()), wishes.abort->what());
    }
}

void Coordinator::stop(int signal) {
    if (run_.state != RunState::running) return;
    stop_signal_ = signal;
    run_.state = RunState::stopping;
    setup_.log.info("Signal " + std::to_string(signal) + ": sources stop, the rest drains. A second signal aborts.");
    broadcast(ControlCode::stop);
}

void Coordinator::check_stall() {
    std::uint64_t moved = 0;
    std::uint64_t laps = 0;
    bool all_rest = true;
    for (const InstanceView& view : run_.instances) {
        const auto activity = static_cast<Activity>(view.status.head.activity);
        moved += view.status.moved();
        // A source counts what it drops, too.
        if (!setup_.plan.stages[setup_.plan.place(view.rank).stage].inputs.empty()) moved += view.status.counted();
        laps += view.status.head.laps;
        all_rest = all_rest && (activity == Activity::paced || activity == Activity::waiting_for_input || view.done);
    }
    const auto now = SteadyClock::now();
    // After a pause of the whole run, as by Ctrl-Z, it gets its time again.
    const bool has_slept = now - std::exchange(looked_at_, now) > setup_.options.stall_timeout / 2;
    // Who pauses on purpose and is seen alive may do so for as long as nobody is inside an operator.
    const bool pauses = all_rest && laps != laps_;
    if (moved != moved_ || pauses || has_slept) {
        moved_ = moved;
        laps_ = laps;
        moved_at_ = now;
    }
    const auto limit = setup_.options.stall_timeout;
    if (limit.count() == 0 || now - moved_at_ < limit || run_.state == RunState::failed) return;
    run_.aborted = true;
    fail(exit_code(Errc::timed_out), "timed out: nothing moved for " + format_duration(limit) + "\n" +
                                         waiting_report(setup_.plan, run_) +
                                         "  raise --stall-timeout if an operator may take longer for one payload");
}

void Coordinator::refresh() {
    refreshed_ = SteadyClock::now();
    const auto now = static_cast<std::uint64_t>(std::chrono::nanoseconds{refreshed_.time_since_epoch()}.count());
    run_.elapsed_s = std::chrono::duration<double>(refreshed_ - start_).count();
    for (std::size_t i = 0; i < members_.size(); ++i) {
        if (members_[i].status == nullptr || run_.instances[i].done) continue;
        run_.instances[i].status = read_status(members_[i].status, members_[i].shape);
        run_.instances[i].status.extend_to(now);
    }
    run_.brokers.clear();
    for (const auto& broker : brokers_) run_.brokers.push_back(broker->view());
}

void Coordinator::fail(int code, std::string text) {
    if (run_.state == RunState::failed) return;  // the first failure is the cause, later ones follow from it
    run_.state = RunState::failed;
    run_.exit_code = code;
    run_.error = std::move(text);
    setup_.log.error(run_.error);
}

/// Sends everybody home and sees the message off.
void Coordinator::part() {
    const bool failed = run_.state == RunState::failed;
    const auto deadline = SteadyClock::now() + parting_time;
    try {
        broadcast(failed ? ControlCode::abort : ControlCode::bye, static_cast<std::uint64_t>(run_.exit_code),
                  run_.error);
        while (!setup_.reactor.drained() && SteadyClock::now() < deadline) {
            setup_.reactor.wait(Activity::done, 0, std::chrono::milliseconds{1});
            static_cast<void>(setup_.supervisor.lost());
        }
    } catch (const Error& error) {
        setup_.log.debug(error.what());  // whoever cannot be told any more is killed by the launcher
    }
}

void Coordinator::broadcast(ControlCode code, std::uint64_t number, std::string_view text) {
    for (Rank rank = 1; rank <= members_.size(); ++rank) {
        // A full outbox belongs to somebody who no longer reads; nobody else waits for that one.
        if (!try_send_control(*members_[rank - 1].transport, rank, {code, number, text})) {
            setup_.log.debug(who(rank) + " takes no more messages");
        }
    }
}

std::string Coordinator::who(Rank rank) const {
    const Place place = setup_.plan.place(rank);
    return "stage '" + setup_.plan.stages[place.stage].name + "' instance " + std::to_string(place.instance) +
           " (rank " + std::to_string(rank) + ")";
}

void Coordinator::on_ready(Rank from, std::uint64_t offset) {
    Member& member = members_[from - 1];
    if (std::exchange(run_.instances[from - 1].ready, true) || offset % alignof(StatusHead) != 0) {
        setup_.reactor.protocol_error(from, "a second or broken word that it is ready");
    }
    ++ready_;
    if (member.transport->capabilities().maps) {
        member.status = member.transport->map({from, offset, member.shape.bytes()});
    }
}

/// Its parts come in order, from the front on.
void Coordinator::on_status(Rank from, std::uint64_t offset, std::string_view part) {
    Member& member = members_[from - 1];
    const std::size_t all = member.shape.bytes();
    if (offset == 0) member.arrived_bytes = 0;
    if (offset != member.arrived_bytes || part.size() > all - member.arrived_bytes) {
        setup_.reactor.protocol_error(from, "a status of impossible length");
    }
    member.arriving.resize(all / sizeof(std::uint64_t));
    std::memcpy(reinterpret_cast<std::byte*>(member.arriving.data()) + offset, part.data(), part.size());
    member.arrived_bytes += part.size();
    if (member.arrived_bytes != all) return;
    run_.instances[from - 1].status =
        read_status(reinterpret_cast<const std::byte*>(member.arriving.data()), member.shape);
}

void Coordinator::on_frame(Rank from, FrameKind, std::span<const std::byte> frame) {
    const auto message = read_control(frame);
    if (!message || from == 0 || from > members_.size())
        setup_.reactor.protocol_error(from, "a broken control message");
    InstanceView& view = run_.instances[from - 1];
    switch (message->code) {
        case ControlCode::ready: return on_ready(from, message->number);
        case ControlCode::status: return on_status(from, message->number, message->text);
        case ControlCode::done:
            if (std::exchange(view.done, true)) setup_.reactor.protocol_error(from, "a second word that it is done");
            ++done_;
            return;
        case ControlCode::failed: return fail(static_cast<int>(message->number), std::string{message->text});
        case ControlCode::stop_request: return stop(static_cast<int>(message->number));
        default: setup_.reactor.protocol_error(from, "a control message meant for an instance");
    }
}

}  // namespace penstock
