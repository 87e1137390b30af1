#include "operators/predicate.hpp"

#include <fmt/format.h>

namespace penstock {

Comparison comparison_of(const Params& params) {
    return {.key = params.get<std::string>("key"),
            .op = params.get<std::string>("op"),
            .value = params.get<std::string>("value")};
}

std::vector<ParamInfo> predicate_params(std::optional<ParamValue> key) {
    return {{.name = "key",
             .kind = ParamKind::string,
             .help = "Metadata key to look at. A payload without it passes \"missing\" only.",
             .fallback = std::move(key)},
            {.name = "op",
             .kind = ParamKind::string,
             .help = "How its value is compared.",
             .fallback = ParamValue{std::string{"=="}},
             .choices = {"==", "!=", "<", "<=", ">", ">=", "exists", "missing"}},
            {.name = "value",
             .kind = ParamKind::string,
             .help = "What with: \"5\" for the number 5, \"true\" for a truth value, or a string.",
             .fallback = ParamValue{std::string{}}}};
}

std::optional<std::string> text_of(const MetaValue& value) {
    if (const auto* whole = std::get_if<std::int64_t>(&value)) return std::to_string(*whole);
    if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
    if (const auto* text = std::get_if<std::string_view>(&value)) return std::string{*text};
    if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
    return std::nullopt;
}

}  // namespace penstock
