#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operators/hdf5/origin.hpp"
#include "operators/hdf5/result_file.hpp"

namespace penstock::hdf5 {

/// The names of the files of a stage, found from the one of this instance: "results.1.h5" is one of
/// "results.0.h5", "results.1.h5", ..., and "results.h5" is to join them.
struct StageFiles {
    std::vector<std::string> parts;  ///< By instance.
    std::string joined;
};
/// Nothing if the name does not have the instance number in it.
[[nodiscard]] std::optional<StageFiles> stage_files(const std::string& path, int instance, int instances);

enum class Joined { yes, not_yet, no };

/// Writes a file whose datasets show those of all parts, one after the other, without copying them: as virtual
/// datasets, or with `separate` as links to the groups. The table of the payloads is copied, with the rows they have
/// in the joined dataset.
///
/// Every instance calls it once its own file is complete; the last one finds the others complete and joins. When two
/// are last they write the same file, which appears as a whole.
/// @return `not_yet` while a part is missing or not complete, `no` if the parts do not fit together; `why` says how.
/// @throws Error if the file cannot be written.
[[nodiscard]] Joined join(const StageFiles& files, const ResultSettings& settings, const Origin& origin,
                          std::string& why);

}  // namespace penstock::hdf5
