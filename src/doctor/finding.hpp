#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::doctor {

enum class Severity : std::uint8_t {
    ok,       ///< What there is.
    note,     ///< Worth knowing; runs go well.
    warning,  ///< Runs go, but slower or not everywhere.
    error,    ///< Runs fail, or a device that is there cannot be used.
};

[[nodiscard]] std::string_view name_of(Severity severity) noexcept;

/// What can be found, as the manual has it.
struct CatalogueEntry {
    std::string_view id;       ///< Never changes: scripts ask for it.
    std::string_view subject;  ///< "memory", "cores", ...
    Severity severity;         ///< The usual one.
    std::string_view means;    ///< For a run. Empty for what there is.
    std::string_view fix;
};

/// By subject.
[[nodiscard]] std::span<const CatalogueEntry> catalogue() noexcept;

struct Finding {
    std::string_view id;
    std::string_view subject;
    Severity severity;
    std::string seen;
    std::string means;
    std::string fix;
};

/// What the checks have found so far.
class Findings {
public:
    /// How one finding differs from what the catalogue says of its kind.
    struct Instead {
        Severity severity = Severity::ok;  ///< `ok`: as in the catalogue.
        std::string fix = {};              ///< Empty: as in the catalogue.
    };

    /// REQUIRES: `id` is in the catalogue.
    void add(std::string_view id, std::string seen, const Instead& instead = {Severity::ok, {}});

    [[nodiscard]] const std::vector<Finding>& all() const noexcept { return all_; }
    [[nodiscard]] std::size_t count(Severity severity) const noexcept;

private:
    std::vector<Finding> all_;
};

}  // namespace penstock::doctor
