#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/gather.hpp"
#include "operators/malformed.hpp"
#include "operators/pacer.hpp"

namespace penstock {
namespace {

std::uint64_t nanoseconds_param(const Params& params, std::string_view name) {
    return static_cast<std::uint64_t>(params.get<double>(name) * 1e6);
}

/// Holds the payloads of the open window by reference; the windows that were emitted keep them until they are settled.
class Window final : public Processor {
public:
    Window(const Params& params, StageContext& context)
        : by_time_{params.get<std::string>("by") == "time"},
          size_{static_cast<std::size_t>(params.get<std::int64_t>("size"))},
          step_{static_cast<std::size_t>(params.get<std::int64_t>("step"))},
          length_{nanoseconds_param(params, "length")},
          every_{nanoseconds_param(params, "every")},
          most_{static_cast<std::size_t>(params.get<std::int64_t>("most"))},
          emit_last_{params.get<bool>("last")},
          separator_{params.get<std::string>("separator")},
          context_{context},
          malformed_{context, params} {
        if (step_ == 0) step_ = size_;
        if (every_ == 0) every_ = length_;
        if (step_ > size_ || every_ > length_ || length_ == 0) {
            throw Error{Errc::invalid_input,
                        "windows must meet: \"step\" is at most \"size\", \"every\" at most \"length\""};
        }
        held_.reserve(std::min<std::size_t>(by_time_ ? most_ : size_, 4096));
        context.tick_every(duration_param(params, "linger") / ticks_of_linger);
    }

    void process(const Payload& in, Output& out) override {
        if (by_time_ && !make_room_in_time(in, out)) return;
        if (!held_.empty()) {
            if (const std::string reason = why_not_stacked(held_.front(), in); !reason.empty()) {
                malformed_.add(in, reason);
                return;
            }
        } else if (in.dtype() != DType::text && in.shape().dims() == Shape::max_dims) {
            malformed_.add(in, "it has 8 dimensions, which leaves none to stack along");
            return;
        }
        held_.push_back(in);
        quiet_ticks_ = 0;
        if (by_time_) {
            if (held_.size() < most_) return;
            context_.count("early", 1);
            emit(out);
            held_.clear();
        } else if (held_.size() == size_) {
            emit(out);
            drop(step_);
            is_fresh_ = false;
        }
    }

    void tick(Output& out) override {
        // The first tick may come right behind the payload.
        if (!is_new() || ++quiet_ticks_ <= ticks_of_linger) return;
        context_.count("lingered", 1);
        emit(out);
        held_.clear();
        is_fresh_ = true;
    }

    void finish(Output& out) override {
        if (is_new() && emit_last_) {
            emit(out);
        } else if (is_new()) {
            context_.count("left_over", held_.size());
        }
        held_.clear();
        malformed_.report();
    }

private:
    static constexpr int ticks_of_linger = 4;

    /// Whether the open window has something that was in none before: what is left of a sliding one has been.
    [[nodiscard]] bool is_new() const {
        return by_time_ ? !held_.empty() : held_.size() > (is_fresh_ ? 0 : size_ - step_);
    }

    /// Closes the windows that end before this payload. @return whether it belongs to one that is open.
    bool make_room_in_time(const Payload& in, Output& out) {
        const std::uint64_t time = in.source_time_ns();
        if (!has_start_) start_at(time);
        if (time < start_) {
            context_.count("late", 1);
            return false;
        }
        while (time - start_ >= length_) {
            if (held_.empty()) {
                start_at(time);
                break;
            }
            emit(out);
            start_ += every_;
            std::erase_if(held_, [&](const Payload& payload) { return payload.source_time_ns() < start_; });
        }
        return true;
    }

    /// The first window that holds that time. Windows begin at multiples of `every` since 1970, in all instances.
    void start_at(std::uint64_t time) {
        const std::uint64_t last = time / every_ * every_;
        const std::uint64_t earlier = (length_ - 1) / every_ * every_;
        std::uint64_t first = last > earlier ? last - earlier : 0;
        if (time - first >= length_) first += every_;
        start_ = has_start_ ? std::max(first, start_) : first;
        has_start_ = true;
    }

    void drop(std::size_t many) {
        held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(std::min(many, held_.size())));
    }

    void emit(Output& out) {
        RawDraft draft = stack(held_, separator_, out);
        draft.set("payloads", held_.size());
        const auto [first, last] = std::ranges::minmax(held_, {}, &Payload::source_time_ns);
        draft.set("first_time_ns", first.source_time_ns());
        draft.set("last_time_ns", last.source_time_ns());
        if (by_time_) draft.set("window_time_ns", start_);
        out.emit(std::move(draft));
        context_.count("windows", 1);
    }

    bool by_time_;
    std::size_t size_;
    std::size_t step_;
    std::uint64_t length_;  // ns
    std::uint64_t every_;
    std::size_t most_;
    bool emit_last_;
    std::string separator_;
    StageContext& context_;
    MalformedRecords malformed_;
    std::vector<Payload> held_;
    int quiet_ticks_ = 0;  // since the newest payload came
    bool is_fresh_ = true;
    bool has_start_ = false;
    std::uint64_t start_ = 0;  // of the oldest open window
};

}  // namespace

void add_window(Registry& registry) {
    registry.add<Window>({
        .name = "window",
        .help =
            "Joins so many payloads, or those of a span of source time, into one: texts one after another, all others "
            "along a new first dimension. Payloads of another dtype or shape than the first of their window are "
            "malformed; those of a window that is closed already are dropped and counted as late.",
        .params = {{.name = "by",
                    .kind = ParamKind::string,
                    .help = "What makes a window full.",
                    .fallback = ParamValue{std::string{"count"}},
                    .choices = {"count", "time"}},
                   {.name = "size",
                    .kind = ParamKind::integer,
                    .help = "For count: payloads of a window.",
                    .fallback = ParamValue{std::int64_t{16}},
                    .minimum = 1,
                    .maximum = 1'000'000},
                   {.name = "step",
                    .kind = ParamKind::integer,
                    .help =
                        "For count: payloads from one window to the next; 0 takes the size, less makes them overlap.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .minimum = 0,
                    .maximum = 1'000'000},
                   {.name = "length",
                    .kind = ParamKind::duration,
                    .help = "For time: span of a window. Windows begin at multiples of \"every\" since 1970.",
                    .fallback = ParamValue{std::int64_t{1000}},
                    .unit = "ms",
                    .minimum = 0.001,
                    .maximum = 1e12},
                   {.name = "every",
                    .kind = ParamKind::duration,
                    .help = "For time: from one window to the next; 0 takes the length, less makes them overlap.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0,
                    .maximum = 1e12},
                   {.name = "most",
                    .kind = ParamKind::integer,
                    .help = "For time: a window with so many payloads is emitted at once, counted as early, and what "
                            "comes later for it makes a window of its own.",
                    .fallback = ParamValue{std::int64_t{4096}},
                    .minimum = 1,
                    .maximum = 1'000'000},
                   {.name = "linger",
                    .kind = ParamKind::duration,
                    .help = "How long after its newest payload has come an open window is emitted although it is not "
                            "full, counted as lingered; what comes later makes a window of its own. 0 waits for ever.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0,
                    .maximum = 1e12},
                   {.name = "last",
                    .kind = ParamKind::boolean,
                    .help = "Whether a window that is not full at the end is emitted, instead of counted as left_over.",
                    .fallback = ParamValue{true}},
                   {.name = "separator",
                    .kind = ParamKind::string,
                    .help = "Stands between texts.",
                    .fallback = ParamValue{std::string{"\n"}}},
                   strict_param()},
    });
}

}  // namespace penstock
