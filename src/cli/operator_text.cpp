#include "cli/operator_text.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

namespace penstock::cli {
namespace {

constexpr const char* page_head = R"(# Operators

What a stage can run, as `penstock operators --markdown` prints it. `penstock operators` prints the list and
`penstock operators NAME` one of them, always as the program at hand has it; `--json` gives both to scripts.

A duration is a number of milliseconds or a text like `"10ms"`, `"2s"`; a size is a number of bytes or a text like `"64KiB"`.
A payload that an operator cannot use is counted as `malformed` and the log says which one it was; the run goes on.
)";

std::string number_text(double number) {
    std::ostringstream text;
    const bool whole = std::trunc(number) == number && std::abs(number) < 1e18;
    if (whole) text << std::fixed;
    text.precision(whole ? 0 : 15);
    text << number;
    return text.str();
}

/// A bar would end the cell of a table.
std::string cell(std::string_view text) {
    std::string escaped;
    for (const char letter : text) {
        if (letter == '|') escaped += '\\';
        escaped += letter;
    }
    return escaped;
}

std::string code(std::string_view text) {
    return "`" + cell(text) + "`";
}

std::string legal_cell(const ParamInfo& param) {
    std::string text;
    for (const auto& choice : param.choices) text += (text.empty() ? "" : ", ") + code(choice);
    return text.empty() ? cell(legal_text(param)) : text;
}

/// "A source; emits f64."
std::string kind_text(const OperatorInfo& info) {
    const std::string in = info.input.empty() ? "any payload" : info.input;
    switch (info.kind) {
        case OperatorKind::source: return "A source; emits " + type_text(info.output) + ".";
        case OperatorKind::sink: return "A sink; takes " + in + ".";
        case OperatorKind::processor: break;
    }
    return "A processor; takes " + in + ", emits " + type_text(info.output) + ".";
}

void write_params(std::ostream& out, const std::vector<ParamInfo>& params) {
    const bool has_env = std::ranges::any_of(params, [](const ParamInfo& param) { return !param.env.empty(); });
    out << "\n| parameter | type | default | legal |" << (has_env ? " variable |" : "")
        << " meaning |\n|---|---|---|---|" << (has_env ? "---|" : "") << "---|\n";
    for (const auto& param : params) {
        out << "| " << code(param.name) << " | " << name_of(param.kind) << (param.unit.empty() ? "" : ", ")
            << cell(param.unit) << " | " << (param.fallback ? code(param.fallback->text()) : "required") << " | "
            << legal_cell(param) << " | ";
        if (has_env) out << (param.env.empty() ? "" : code(param.env)) << " | ";
        out << cell(param.help) << " |\n";
    }
}

}  // namespace

std::string legal_text(const ParamInfo& param) {
    std::string text;
    for (const auto& choice : param.choices) text += (text.empty() ? "" : " | ") + choice;
    if (param.minimum && param.maximum) return number_text(*param.minimum) + " to " + number_text(*param.maximum);
    if (param.minimum) return "at least " + number_text(*param.minimum);
    if (param.maximum) return "at most " + number_text(*param.maximum);
    return text;
}

std::string type_text(const std::string& type) {
    return type.empty() ? "any" : type;
}

std::string operators_page(const Registry& registry) {
    std::ostringstream out;
    out << page_head;
    for (const auto kind : {OperatorKind::source, OperatorKind::processor, OperatorKind::sink}) {
        for (const auto* info : registry.list()) {
            if (info->kind != kind) continue;
            out << "\n## " << info->name << "\n\n" << kind_text(*info) << ' ' << info->help << '\n';
            if (!info->params.empty()) write_params(out, info->params);
        }
    }
    return out.str();
}

}  // namespace penstock::cli
