#include "runtime/paths.hpp"

#include <filesystem>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock {

std::string result_path_in(const std::string& results_dir, std::string_view name, int instance) {
    std::filesystem::path path{name};
    if (name.find('\0') != std::string_view::npos || !path.has_filename() || path.filename() == "." ||
        path.filename() == "..") {
        throw Error{Errc::invalid_input,
                    "'" + printable(name) + "' is no file name; name a file, such as \"results.csv\""};
    }
    for (const auto& part : path) {
        if (part == "..") {
            throw Error{Errc::invalid_input,
                        "the file name '" + printable(name) +
                            "' climbs out of the results with '..'; write an absolute path instead"};
        }
    }
    if (instance >= 0) {
        const auto numbered = path.stem().string() + "." + std::to_string(instance) + path.extension().string();
        path.replace_filename(numbered);
    }
    return path.is_absolute() ? path.string() : (std::filesystem::path{results_dir} / path).string();
}

}  // namespace penstock
