#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "operators/hdf5/handles.hpp"

namespace penstock::hdf5 {

/// A growing dataset of texts of any length. Texts wait for `flush`. No NUL may be in them.
class TextWriter {
public:
    TextWriter(hid_t parent, const std::string& name);
    void append(std::string_view text) { waiting_.emplace_back(text); }
    void flush();

    [[nodiscard]] std::uint64_t rows() const noexcept { return written_ + waiting_.size(); }
    [[nodiscard]] hid_t dataset() const noexcept { return dataset_.get(); }

private:
    Id dataset_;
    std::vector<std::string> waiting_;
    std::uint64_t written_ = 0;
};

}  // namespace penstock::hdf5
