#include "cli/failure.hpp"

#include <ostream>

#include <nlohmann/json.hpp>

#include "cli/options.hpp"

namespace penstock::cli {
namespace {

std::string_view kind_of(int exit_code) noexcept {
    switch (exit_code) {
        case 2: return "invalid_input";
        case 3: return "unsupported";
        case 4: return "exhausted";
        case 5: return "timed_out";
        case 6: return "disconnected";
        case 70: return "internal";
        case 129:
        case 130:
        case 138:
        case 143: return "interrupted";
        default: return "failed";
    }
}

}  // namespace

void report_failure(const Program& program, const Failure& failure) {
    program.err << "penstock: " << failure.message << '\n';
    if (!program.json) return;
    auto json = nlohmann::ordered_json::parse(failure.report, nullptr, false);
    if (!json.is_object()) json = nlohmann::ordered_json::object();
    json["error"] = {
        {"kind", kind_of(failure.exit_code)}, {"message", failure.message}, {"exit_code", failure.exit_code}};
    program.out << json_text(json);
}

}  // namespace penstock::cli
