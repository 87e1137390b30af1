#include "operators/telemetry/dcgm_file.hpp"

#include <fmt/format.h>

#include <penstock/error.hpp>

#include "base/quote.hpp"

namespace penstock::telemetry {
namespace {

struct Column {
    std::string_view name;
    std::string_view DcgmRow::*field;
    bool required;
};
constexpr std::array<Column, 12> wanted{{{"timestamp", &DcgmRow::timestamp, true},
                                         {"metric_name", &DcgmRow::metric_name, true},
                                         {"gpu_id", &DcgmRow::gpu_id, true},
                                         {"device", &DcgmRow::device, true},
                                         {"uuid", &DcgmRow::uuid, true},
                                         {"modelName", &DcgmRow::model_name, true},
                                         {"Hostname", &DcgmRow::hostname, true},
                                         {"value", &DcgmRow::value, true},
                                         {"container", &DcgmRow::container, false},
                                         {"pod", &DcgmRow::pod, false},
                                         {"namespace", &DcgmRow::kubernetes_namespace, false},
                                         {"labels_raw", &DcgmRow::labels_raw, false}}};

[[nodiscard]] std::string_view without_space_before(std::string_view text) noexcept {
    return text.substr(std::min(text.find_first_not_of(" \t"), text.size()));
}

[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept {
    text = without_space_before(text);
    return text.substr(0, text.find_last_not_of(" \t") + 1);
}

}  // namespace

DcgmFile::DcgmFile(const std::string& path, Part part)
    : reader_{path, {.param = "csv_path", .part = part.index, .parts = part.count}} {
    static_assert(wanted.size() == fields);
    const auto& names = reader_.names();
    for (std::size_t i = 0; i < fields; ++i) {
        for (std::size_t column = 0; column < names.size(); ++column) {
            if (trimmed(names[column]) == wanted[i].name) columns_[i] = column;
        }
        if (!columns_[i] && wanted[i].required) {
            throw Error{Errc::invalid_input,
                        fmt::format("{}: missing required column: {}", in_quotes(path), wanted[i].name)};
        }
    }
}

DcgmFile::Result DcgmFile::next(DcgmRow& row) {
    if (!reader_.next()) {
        (void)reader_.check_growth();
        return Result::end;
    }
    if (const std::string& problem = reader_.row().problem(); !problem.empty()) {
        why_ = fmt::format("{}: {}", place(), problem);
        return Result::bad_row;
    }
    for (std::size_t i = 0; i < fields; ++i) row.*wanted[i].field = field(i);
    if (row.uuid.empty() || row.metric_name.empty()) {
        why_ = place() + ": missing required fields: uuid or metric_name";
        return Result::bad_row;
    }
    return Result::row;
}

std::string DcgmFile::place() {
    return fmt::format("row {} (byte {})", reader_.line(), reader_.byte());
}

std::string_view DcgmFile::field(std::size_t index) {
    if (!columns_[index]) return {};
    return without_space_before(reader_.row().field(*columns_[index], scratch_[index]));
}

}  // namespace penstock::telemetry
