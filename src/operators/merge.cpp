#include <algorithm>
#include <optional>
#include <vector>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/malformed.hpp"

namespace penstock {
namespace {

class Merge final : public Processor {
public:
    Merge(const Params& params, StageContext& context)
        : order_{params.get<std::string>("order")},
          key_{params.get<std::string>("key")},
          next_{static_cast<std::uint64_t>(params.get<std::int64_t>("first"))},
          room_{static_cast<std::size_t>(params.get<std::int64_t>("buffer"))},
          context_{context},
          malformed_{context, params} {
        if (order_ == "key" && key_.empty()) {
            throw Error{Errc::invalid_input, "\"key\" must name the metadata key to order by"};
        }
        if (order_ != "arrival") waiting_.reserve(room_ + 1);
    }

    void process(const Payload& in, Output& out) override {
        if (order_ == "arrival") {
            out.emit(in);
            return;
        }
        const auto number = number_of(in);
        if (!number) {
            malformed_.add(in, order_ == "user_id" ? "it has no user id" : "it has no such number in its metadata");
        } else if (*number < next_) {
            context_.count("late", 1);
            out.emit(in);
        } else {
            hold(*number, in);
            emit_in_order(out);
            if (waiting_.size() > room_) {
                skip_gap();
                emit_in_order(out);
            }
        }
    }

    void finish(Output& out) override {
        while (!waiting_.empty()) {
            skip_gap();
            emit_in_order(out);
        }
        malformed_.report();
    }

private:
    struct Waiting {
        std::uint64_t number;
        std::uint64_t arrival;
        Payload payload;
    };
    static bool is_after(const Waiting& a, const Waiting& b) noexcept {
        return a.number != b.number ? a.number > b.number : a.arrival > b.arrival;
    }

    [[nodiscard]] std::optional<std::uint64_t> number_of(const Payload& in) const {
        if (order_ == "user_id") return in.user_id();
        if (order_ == "sequence") return in.id().sequence;
        const auto value = in.metadata().integer(key_);
        if (!value || *value < 0) return std::nullopt;
        return static_cast<std::uint64_t>(*value);
    }

    void hold(std::uint64_t number, const Payload& in) {
        waiting_.push_back({number, arrivals_++, in});
        std::ranges::push_heap(waiting_, is_after);
    }

    /// Equal numbers go out together, in the order they came.
    void emit_in_order(Output& out) {
        while (!waiting_.empty() && waiting_.front().number <= next_) {
            std::ranges::pop_heap(waiting_, is_after);
            const Waiting first = std::move(waiting_.back());
            waiting_.pop_back();
            out.emit(first.payload);
            const bool is_last = waiting_.empty() || waiting_.front().number > first.number;
            if (is_last && next_ == first.number) ++next_;
        }
    }

    /// The numbers before the least one that waits will not come any more.
    void skip_gap() {
        context_.count("missing", waiting_.front().number - next_);
        next_ = waiting_.front().number;
    }

    std::string order_;
    std::string key_;
    std::uint64_t next_;
    std::size_t room_;
    StageContext& context_;
    MalformedRecords malformed_;
    std::vector<Waiting> waiting_;  // a heap, the least number first
    std::uint64_t arrivals_ = 0;
};

}  // namespace

void add_merge(Registry& registry) {
    registry.add<Merge>({
        .name = "merge",
        .help =
            "Hands on, by reference, the payloads of all its input channels, as they come or ordered by a number that "
            "counts up without gaps. Numbers that do not come are counted as missing; payloads that come when their "
            "turn is over go on at once, counted as late.",
        .params = {{.name = "order",
                    .kind = ParamKind::string,
                    .help = "As they arrive; by their user id; by their sequence, for one source; or by an integer in "
                            "their metadata.",
                    .fallback = ParamValue{std::string{"arrival"}},
                    .choices = {"arrival", "user_id", "sequence", "key"}},
                   {.name = "key",
                    .kind = ParamKind::string,
                    .help = "For key: the metadata key.",
                    .fallback = ParamValue{std::string{}}},
                   {.name = "first",
                    .kind = ParamKind::integer,
                    .help = "Number to begin with.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .minimum = 0},
                   {.name = "buffer",
                    .kind = ParamKind::integer,
                    .help = "Payloads that may wait for their turn; with more, the least number goes on.",
                    .fallback = ParamValue{std::int64_t{1024}},
                    .minimum = 1,
                    .maximum = 1'000'000},
                   strict_param()},
    });
}

}  // namespace penstock
