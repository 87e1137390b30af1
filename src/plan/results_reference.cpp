#include "plan/results_reference.hpp"

#include <algorithm>

#include <penstock/error.hpp>

#include "base/quote.hpp"
#include "spec/names.hpp"

namespace penstock {
namespace {

constexpr std::string_view opening = "{results";

/// "/a/../b" does.
[[nodiscard]] bool climbs(std::string_view path) {
    while (!path.empty()) {
        const std::size_t end = std::min(path.find('/'), path.size());
        if (path.substr(0, end) == "..") return true;
        path.remove_prefix(std::min(end + 1, path.size()));
    }
    return false;
}

[[noreturn]] void refuse(std::string_view text, std::string_view why) {
    throw Error{Errc::invalid_input, in_quotes(text) + std::string{why}};
}

}  // namespace

void for_each_text(const ParamValue& value, const std::function<void(const std::string&)>& use) {
    if (const auto* text = std::get_if<std::string>(&value.value)) use(*text);
    if (const auto* list = std::get_if<ParamValue::List>(&value.value)) {
        for (const ParamValue& each : *list) for_each_text(each, use);
    }
}

bool is_results_reference(std::string_view text) noexcept {
    return text.starts_with(opening) || text.find("{results:") != std::string_view::npos;
}

ResultsReference read_results_reference(std::string_view text) {
    if (!text.starts_with(opening))
        refuse(text, " has \"{results:\" in its middle; it can only stand at the beginning");
    const std::size_t end = text.find('}');
    const bool is_closed = end != std::string_view::npos && text[opening.size()] == ':';
    const auto name = is_closed ? text.substr(opening.size() + 1, end - opening.size() - 1) : std::string_view{};
    if (!is_name(name)) {
        refuse(text, " does not say whose results it means; write \"{results:STAGE}/FILE\" with a stage of the phase");
    }
    const ResultsReference reference{.stage = name, .file = text.substr(end + 1)};
    if (!reference.file.empty() && reference.file.front() != '/') {
        refuse(text, " has no \"/\" behind the \"}\"; write \"{results:STAGE}/FILE\"");
    }
    if (climbs(reference.file)) refuse(text, " climbs out of the folder with \"..\"; name a file in it");
    if (is_results_reference(reference.file)) refuse(text, " has \"{results:\" twice; name one file");
    return reference;
}

void replace_results(Params& params, const std::function<std::string(std::string_view stage)>& folder_of) {
    const std::function<ParamValue(const ParamValue&)> replaced = [&](const ParamValue& value) {
        if (const auto* list = std::get_if<ParamValue::List>(&value.value)) {
            ParamValue::List values;
            for (const ParamValue& each : *list) values.push_back(replaced(each));
            return ParamValue{std::move(values)};
        }
        const auto* text = std::get_if<std::string>(&value.value);
        if (text == nullptr || !is_results_reference(*text)) return value;
        const auto [stage, file] = read_results_reference(*text);
        return ParamValue{folder_of(stage).append(file)};
    };
    const Params given = params;
    for (const auto& [name, value] : given) params.set(name, replaced(value));
}

}  // namespace penstock
