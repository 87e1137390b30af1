#pragma once

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

#include <stdlib.h>

namespace penstock::test {

/// A fresh directory below TMPDIR, gone with this object.
class ScratchFolder {
public:
    ScratchFolder() : path_{(std::filesystem::temp_directory_path() / "penstock-XXXXXX").string()} {
        if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error{"no directory like " + path_};
    }
    ~ScratchFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;

    [[nodiscard]] const std::string& path() const noexcept { return path_; }
    [[nodiscard]] std::string path(std::string_view name) const { return path_ + "/" + std::string{name}; }

    /// @return the path of the file.
    std::string write(std::string_view name, std::string_view content) const {
        std::ofstream{path(name), std::ios::binary} << content;
        return path(name);
    }
    [[nodiscard]] std::string read(std::string_view name) const {
        std::ostringstream content;
        content << std::ifstream{path(name), std::ios::binary}.rdbuf();
        return content.str();
    }

private:
    std::string path_;
};

}  // namespace penstock::test
