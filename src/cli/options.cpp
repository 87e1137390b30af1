#include "cli/options.hpp"

#include "base/nearest.hpp"
#include "base/quantity.hpp"
#include "base/quote.hpp"

namespace penstock::cli {

std::string examples(std::initializer_list<std::string_view> lines) {
    std::string text = "Examples:";
    for (const auto line : lines) text.append("\n  ").append(line);
    return text;
}

std::string json_text(const nlohmann::ordered_json& json) {
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + '\n';
}

std::string choices_text(const std::vector<std::string_view>& names) {
    std::string text = "{";
    for (std::size_t i = 0; i < names.size(); ++i) text.append(i == 0 ? "" : ",").append(names[i]);
    return text + '}';
}

void refuse_choice(const std::string& option, std::string_view text, const std::vector<std::string_view>& names) {
    throw CLI::ValidationError{option, "unknown word " + in_quotes(text) + suggestion(text, names, "use one of")};
}

void add_duration(CLI::App& command, const std::string& name, std::chrono::milliseconds& into,
                  const std::string& help) {
    const auto read = [&into, name](const std::string& text) {
        const auto duration = parse_duration(text);
        if (!duration) {
            throw CLI::ValidationError{name, in_quotes(text) +
                                                 " is no duration; write a number and ms, s, m or h, "
                                                 "for example 30s, or 0"};
        }
        into = *duration;
    };
    command.add_option_function<std::string>(name, read, help)->type_name("DURATION")->default_str(duration_text(into));
}

}  // namespace penstock::cli
