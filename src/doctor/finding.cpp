#include "doctor/finding.hpp"

#include <algorithm>
#include <utility>

#include <penstock/error.hpp>

namespace penstock::doctor {

std::string_view name_of(Severity severity) noexcept {
    switch (severity) {
        case Severity::ok: return "ok";
        case Severity::note: return "note";
        case Severity::warning: return "warning";
        case Severity::error: return "error";
    }
    return "error";
}

void Findings::add(std::string_view id, std::string seen, const Instead& instead) {
    const auto known = catalogue();
    const auto entry =
        std::find_if(known.begin(), known.end(), [&](const CatalogueEntry& each) { return each.id == id; });
    if (entry == known.end()) throw Error{Errc::internal, "no finding is called '" + std::string{id} + "'"};
    all_.push_back({.id = entry->id,
                    .subject = entry->subject,
                    .severity = instead.severity == Severity::ok ? entry->severity : instead.severity,
                    .seen = std::move(seen),
                    .means = std::string{entry->means},
                    .fix = instead.fix.empty() ? std::string{entry->fix} : instead.fix});
}

std::size_t Findings::count(Severity severity) const noexcept {
    return static_cast<std::size_t>(
        std::count_if(all_.begin(), all_.end(), [&](const Finding& each) { return each.severity == severity; }));
}

}  // namespace penstock::doctor
