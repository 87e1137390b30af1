#pragma once

#include <functional>
#include <string>
#include <string_view>

#include <penstock/params.hpp>

namespace penstock {

/// A text that begins with "{results:make}" names a file of the run that the phase of stage "make" was.
struct ResultsReference {
    std::string_view stage;
    std::string_view file;  ///< What stands behind: "/numbers.csv", or nothing for the folder itself.
};

/// Calls `use` with every text of the parameter, also in lists.
void for_each_text(const ParamValue& value, const std::function<void(const std::string&)>& use);

/// Whether the text has such a beginning, or something that looks like one.
[[nodiscard]] bool is_results_reference(std::string_view text) noexcept;
/// REQUIRES: it is one.
/// @throws Error{invalid_input} saying how it is to be written, or that it leaves the folder.
[[nodiscard]] ResultsReference read_results_reference(std::string_view text);

/// Puts folders in the place of the stages.
/// @param folder_of  The results of the run that the phase of a stage was.
/// @throws Error as `read_results_reference` does.
void replace_results(Params& params, const std::function<std::string(std::string_view stage)>& folder_of);

}  // namespace penstock
