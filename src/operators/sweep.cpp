#include <algorithm>
#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/number_text.hpp"
#include "operators/pacer.hpp"

namespace penstock {
namespace {

constexpr std::size_t max_axes = 32;
constexpr std::size_t max_name = 64;
constexpr std::uint64_t max_points = 1ULL << 53U;

/// One parameter and the values it takes.
struct Axis {
    std::string name;
    double from = 0;
    double to = 0;
    std::uint64_t steps = 0;
    std::vector<double> values = {};  ///< Instead of the three above, if there are any.

    [[nodiscard]] std::uint64_t size() const { return values.empty() ? steps : values.size(); }
    /// Exactly `from` at the beginning and `to` at the end.
    [[nodiscard]] double at(std::uint64_t index) const {
        if (!values.empty()) return values[index];
        if (steps == 1) return from;
        const double share = static_cast<double>(index) / static_cast<double>(steps - 1);
        return from * (1 - share) + to * share;
    }
};

std::optional<double> finite_number(std::string_view text) {
    const auto number = parse_number(text);
    return number && std::isfinite(*number) ? number : std::nullopt;
}

/// The numbers of "1,2,3"; nothing if one of them is none.
std::optional<std::vector<double>> numbers_of(std::string_view text, char separator) {
    std::vector<double> numbers;
    while (true) {
        const std::size_t end = std::min(text.find(separator), text.size());
        const auto number = finite_number(text.substr(0, end));
        if (!number) return std::nullopt;
        numbers.push_back(*number);
        if (end == text.size()) return numbers;
        text.remove_prefix(end + 1);
    }
}

bool is_name(std::string_view text) {
    return !text.empty() && text.size() <= max_name && std::ranges::all_of(text, [](char letter) {
        return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
               (letter >= '0' && letter <= '9') || letter == '_';
    });
}

std::optional<Axis> parse_axis(std::string_view text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || !is_name(text.substr(0, equals))) return std::nullopt;
    Axis axis{.name = std::string{text.substr(0, equals)}};
    text.remove_prefix(equals + 1);
    const bool is_range = text.find(':') != std::string_view::npos;
    auto numbers = numbers_of(text, is_range ? ':' : ',');
    if (!numbers) return std::nullopt;
    if (!is_range) {
        axis.values = std::move(*numbers);
        return axis;
    }
    if (numbers->size() != 3) return std::nullopt;
    const double steps = (*numbers)[2];
    if (!(steps >= 1) || steps > static_cast<double>(max_points) || steps != std::floor(steps)) return std::nullopt;
    axis.from = (*numbers)[0];
    axis.to = (*numbers)[1];
    axis.steps = static_cast<std::uint64_t>(steps);
    return axis;
}

std::vector<Axis> axes_param(const Params& params) {
    std::vector<Axis> axes;
    for (const auto& element : params.get<ParamValue::List>("axes")) {
        const auto* text = std::get_if<std::string>(&element.value);
        auto axis = text == nullptr ? std::nullopt : parse_axis(*text);
        if (!axis) {
            throw Error{Errc::invalid_input,
                        fmt::format("each of \"axes\" must be \"NAME=FROM:TO:STEPS\" or \"NAME=VALUE,VALUE,...\" with "
                                    "a name of letters, digits and \"_\", finite numbers and at least one step, not {}",
                                    text == nullptr ? printable(element.text()) : in_quotes(*text))};
        }
        if (std::ranges::count(axes, axis->name, &Axis::name) > 0) {
            throw Error{Errc::invalid_input, "\"axes\" has " + in_quotes(axis->name) + " twice; each needs its name"};
        }
        axes.push_back(std::move(*axis));
    }
    if (axes.empty() || axes.size() > max_axes) {
        throw Error{Errc::invalid_input,
                    fmt::format("\"axes\" must have 1 to {} of them, not {}", max_axes, axes.size())};
    }
    return axes;
}

std::uint64_t points_of(const std::vector<Axis>& axes) {
    std::uint64_t points = 1;
    for (const auto& axis : axes) {
        if (axis.size() > max_points / points) {
            throw Error{Errc::invalid_input, "\"axes\" make more than 2^53 points; use fewer steps"};
        }
        points *= axis.size();
    }
    return points;
}

class Sweep final : public Source {
public:
    Sweep(const Params& params, StageContext& context)
        : context_{context},
          axes_{axes_param(params)},
          points_{points_of(axes_)},
          batch_{static_cast<std::uint64_t>(params.get<std::int64_t>("batch"))},
          next_{static_cast<std::uint64_t>(context.instance())},
          pacer_{context, duration_param(params, "interval")} {
        for (const auto& axis : axes_) names_ += (names_.empty() ? "" : ",") + axis.name;
    }

    bool produce(Output& out) override {
        const std::uint64_t first = next_ * batch_;
        if (first >= points_ || !pacer_.wait(next_)) return false;
        const std::uint64_t count = std::min(batch_, points_ - first);
        auto draft = out.draft<double>(Shape{count, axes_.size()});
        for (std::uint64_t point = 0; point < count; ++point) {
            std::uint64_t rest = first + point;
            for (std::size_t axis = axes_.size(); axis-- > 0;) {
                draft[point * axes_.size() + axis] = axes_[axis].at(rest % axes_[axis].size());
                rest /= axes_[axis].size();
            }
        }
        draft.set("axes", names_);
        draft.set("first", first);
        draft.set_user_id(next_);
        out.emit(std::move(draft));
        context_.count("points", count);
        next_ += static_cast<std::uint64_t>(context_.instances());
        return true;
    }

private:
    StageContext& context_;
    std::vector<Axis> axes_;
    std::string names_;
    std::uint64_t points_;
    std::uint64_t batch_;
    std::uint64_t next_;  // batch, of all instances together: this one makes every instances-th
    Pacer pacer_;
};

}  // namespace

void add_sweep(Registry& registry) {
    registry.add<Sweep>({
        .name = "sweep",
        .help =
            "Makes the points of a grid of parameters: a table with a row for each point and a column for each axis; "
            "the last axis changes fastest. Metadata: axes, their names with commas between them, and first, the "
            "number of the first point; the user id is the number of the payload. Instances share the points.",
        .output = "f64",
        .params = {{.name = "axes",
                    .kind = ParamKind::list,
                    .help = "For each parameter \"NAME=FROM:TO:STEPS\", with both ends among the steps, or "
                            "\"NAME=VALUE,VALUE,...\"."},
                   {.name = "batch",
                    .kind = ParamKind::integer,
                    .help = "Points in a payload; the last one may have fewer.",
                    .fallback = ParamValue{std::int64_t{1}},
                    .minimum = 1,
                    .maximum = 1e9},
                   {.name = "interval",
                    .kind = ParamKind::duration,
                    .help = "From one payload to the next, counted over all instances; 0 does not wait.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "ms",
                    .minimum = 0}},
    });
}

}  // namespace penstock
