#include "cli/man_page.hpp"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <vector>

#include <penstock/version.hpp>

namespace penstock::cli {
namespace {

[[nodiscard]] std::vector<const CLI::App*> commands_of(const CLI::App& command) {
    return command.get_subcommands([](const CLI::App*) { return true; });
}

/// "penstock telemetry query"
[[nodiscard]] std::string path_of(const CLI::App& command) {
    const CLI::App* parent = command.get_parent();
    return parent == nullptr ? command.get_name() : path_of(*parent) + " " + command.get_name();
}

[[nodiscard]] std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::toupper(c); });
    return text;
}

[[nodiscard]] std::string bold(std::string_view text) {
    return "\\fB" + roff_text(text) + "\\fR";
}

[[nodiscard]] std::string italic(std::string_view text) {
    return "\\fI" + roff_text(text) + "\\fR";
}

/// The type without what checks it: "NUMBER" of "NUMBER:UINT in [1 - 8]".
[[nodiscard]] std::string kind_of(const CLI::Option& option) {
    const std::string type = option.get_type_name();
    return type.substr(0, type.starts_with('{') ? type.find('}') + 1 : type.find(':'));
}

[[nodiscard]] bool is_flag(const CLI::Option& option) {
    return option.get_items_expected_max() == 0;
}

[[nodiscard]] bool takes_several(const CLI::Option& option) {
    return option.get_items_expected_max() > 1;
}

/// "[--timeout DURATION]"
[[nodiscard]] std::string usage_of(const CLI::App& command) {
    std::string text = ".B " + roff_text(path_of(command));
    const auto options = command.get_options();
    const bool has_options =
        std::any_of(options.begin(), options.end(), [](const CLI::Option* each) { return !each->get_positional(); });
    text += "\n";
    if (has_options) text += "[" + italic("OPTIONS") + "]\n";
    for (const CLI::Option* option : options) {
        if (!option->get_positional()) continue;
        const std::string word = italic(kind_of(*option)) + (takes_several(*option) ? " ..." : "");
        text += option->get_required() ? word + "\n" : "[" + word + "]\n";
    }
    if (!commands_of(command).empty()) text += italic("COMMAND") + " [" + italic("ARGUMENT") + " ...]\n";
    return text;
}

[[nodiscard]] std::string names_of(const CLI::Option& option) {
    if (option.get_positional()) return italic(kind_of(option));
    std::string text;
    for (const std::string& name : option.get_snames()) text += (text.empty() ? "" : ", ") + bold("-" + name);
    for (const std::string& name : option.get_lnames()) text += (text.empty() ? "" : ", ") + bold("--" + name);
    if (!is_flag(option)) text += " " + italic(kind_of(option)) + (takes_several(option) ? " ..." : "");
    return text;
}

[[nodiscard]] std::string about(const CLI::Option& option) {
    std::string text = roff_text(option.get_description());
    const std::string type = option.get_type_name();
    const auto check = type.starts_with('{') ? std::string::npos : type.find(" in [");
    if (check != std::string::npos) text += "; " + roff_text(type.substr(check + 1));
    if (option.get_required()) text += "; required";
    if (!option.get_default_str().empty()) text += "; default " + bold(option.get_default_str());
    return text + "\n";
}

[[nodiscard]] std::string options_of(const CLI::App& command, bool positional) {
    std::string text;
    for (const CLI::Option* option : command.get_options()) {
        if (option->get_positional() == positional) text += ".TP\n" + names_of(*option) + "\n" + about(*option);
    }
    return text;
}

[[nodiscard]] std::string list_of_commands(const CLI::App& command) {
    std::string text;
    for (const CLI::App* each : commands_of(command)) {
        std::string names = bold(each->get_name());
        for (const std::string& alias : each->get_aliases()) names += ", " + bold(alias);
        text +=
            ".TP\n" + names + "\n" + roff_text(each->get_description()) + "; see " + bold(page_name(*each)) + "(1)\n";
    }
    return text;
}

/// A footer has headings ("Examples:") with indented lines below them, and sentences.
[[nodiscard]] std::string footer_of(const CLI::App& command) {
    std::istringstream footer{command.get_footer()};
    std::string text;
    bool is_list = false;
    const auto end_list = [&] {
        if (is_list) text += ".fi\n";
        is_list = false;
    };
    for (std::string line; std::getline(footer, line);) {
        if (line.empty()) continue;
        if (line.starts_with("  ")) {
            if (!is_list) text += ".nf\n";
            is_list = true;
            text += roff_text(line.substr(2)) + "\n";
        } else if (line.back() == ':') {
            end_list();
            line.pop_back();
            text += ".SH " + roff_text(upper(line)) + "\n";
        } else {
            end_list();
            text += ".PP\n" + roff_text(line) + "\n";
        }
    }
    end_list();
    return text;
}

[[nodiscard]] std::string see_also(const CLI::App& command) {
    std::vector<const CLI::App*> others = commands_of(command);
    if (const CLI::App* parent = command.get_parent()) others.insert(others.begin(), parent);
    std::string text;
    for (const CLI::App* each : others) text += (text.empty() ? "" : ",\n") + bold(page_name(*each)) + "(1)";
    return text.empty() ? "" : ".SH SEE ALSO\n" + text + "\n";
}

[[nodiscard]] std::string section(std::string_view title, const std::string& content) {
    return content.empty() ? "" : ".SH " + std::string{title} + "\n" + content;
}

}  // namespace

std::string roff_text(std::string_view text) {
    std::string safe;
    for (const char c : text) {
        const bool starts_line = safe.empty() || safe.back() == '\n';
        if (starts_line && (c == '.' || c == '\'')) safe += "\\&";
        switch (c) {
            case '\\': safe += "\\e"; break;
            case '-': safe += "\\-"; break;  // so that an option can be copied
            case '`': safe += "\\(ga"; break;
            case '\'': safe += "\\(aq"; break;
            case '^': safe += "\\(ha"; break;
            case '~': safe += "\\(ti"; break;
            default: safe += c;
        }
    }
    return safe;
}

std::string page_name(const CLI::App& command) {
    std::string name = path_of(command);
    std::replace(name.begin(), name.end(), ' ', '-');
    return name;
}

std::string man_page(const CLI::App& command) {
    const std::string name = page_name(command);
    std::string description = command.get_description();
    if (description.ends_with('.')) description.pop_back();
    return ".TH \"" + roff_text(upper(name)) + "\" \"1\" \"\" \"penstock " + std::string{version} +
           "\" \"Penstock\"\n" + ".SH NAME\n" + roff_text(name) + " \\- " + roff_text(description) + "\n" +
           section("SYNOPSIS", usage_of(command)) + section("COMMANDS", list_of_commands(command)) +
           section("ARGUMENTS", options_of(command, true)) + section("OPTIONS", options_of(command, false)) +
           footer_of(command) + see_also(command);
}

}  // namespace penstock::cli
