#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <penstock/error.hpp>
#include <penstock/spec.hpp>

#include "base/quote.hpp"
#include "spec/json_tree.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const std::string& path, const std::string& why) {
    throw Error{Errc::invalid_input, "cannot read the pipeline file " + path_in_quotes(path) + ": " + why};
}

void check_kind(const std::string& path) {
    std::error_code error;
    const auto status = fs::status(path, error);
    if (status.type() == fs::file_type::not_found) {
        const bool forgot = fs::exists(path + ".json", error);
        refuse(path, forgot ? "no such file; did you mean " + path_in_quotes(path + ".json") + "?"
                            : "no such file; the directory is " + path_in_quotes(fs::current_path(error).string()));
    }
    if (error) refuse(path, error.message());
    if (fs::is_directory(status)) refuse(path, "it is a directory; name a file in it");
}

/// More than is legal at most by one piece, so that an endless file ends.
std::string read_bounded(std::istream& file) {
    std::string text;
    std::array<char, 16U << 10U> piece;
    while (text.size() <= max_file_bytes && file) {
        file.read(piece.data(), piece.size());
        text.append(piece.data(), static_cast<std::size_t>(file.gcount()));
    }
    return text;
}

}  // namespace

PipelineSpec load_pipeline(const std::string& path) {
    check_kind(path);
    errno = 0;
    std::ifstream file{path, std::ios::binary};
    if (!file) refuse(path, std::strerror(errno));
    const auto text = read_bounded(file);
    if (file.bad()) refuse(path, std::strerror(errno));
    return parse_pipeline(text, path);
}

}  // namespace penstock
