#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "operators/hdf5/handles.hpp"
#include "operators/telemetry/message.hpp"

/// The tables of a telemetry file. Everything here is called under a `hdf5::Guard`.
namespace penstock::telemetry {

inline constexpr hsize_t rows_per_chunk = 2048;
inline constexpr hsize_t texts_per_chunk = 64;

/// A value as it stands in the file.
struct Row {
    std::int64_t time_ns;
    double value;
    std::uint32_t gpu;     // row of /gpus
    std::uint32_t labels;  // row of /labels
};
static_assert(sizeof(Row) == 24);

/// @throws Error naming the file: the text, then the library's reason.
[[noreturn]] void fail(const std::string& path, std::string_view doing, Errc code = Errc::invalid_input);

/// A one-dimensional dataset that grows.
class Table {
public:
    /// Opens it. @throws Error{invalid_input} naming the file.
    Table(const std::string& path, hid_t file, const std::string& name, hdf5::Id type);
    /// Makes it, empty.
    Table(const std::string& path, hid_t parent, const std::string& name, hdf5::Id type, hsize_t chunk);

    [[nodiscard]] hsize_t rows() const noexcept { return rows_; }
    void append(hsize_t count, const void* rows);
    /// @throws Error{invalid_input} naming the file.
    void read(hsize_t first, hsize_t count, void* rows) const;
    /// Gives back the texts that `read` made.
    void reclaim(hsize_t count, void* rows) const;

private:
    [[nodiscard]] std::pair<hdf5::Id, hdf5::Id> spaces(hsize_t first, hsize_t count) const;

    std::string path_;
    hdf5::Id type_;
    hdf5::Id set_;
    hsize_t rows_ = 0;
};

inline constexpr const char* gpus_name = "/gpus";
inline constexpr const char* labels_name = "/labels";
inline constexpr const char* metrics_name = "/telemetry";

[[nodiscard]] hdf5::Id gpu_type();
[[nodiscard]] hdf5::Id value_type();

/// The rows of /gpus as they are; the last one of a GPU counts.
[[nodiscard]] std::vector<Gpu> read_gpu_rows(const Table& table);
void append_gpus(Table& table, const std::vector<Gpu>& gpus);

[[nodiscard]] std::vector<std::string> read_texts(const Table& table, hsize_t first, hsize_t count);
void append_texts(Table& table, const std::vector<std::string>& texts, std::size_t first);

/// A metric's name as the name of its table in /telemetry: a link's name has no slash and is not only dots.
[[nodiscard]] std::string table_name(std::string_view metric);
[[nodiscard]] bool has_metric(hid_t file, std::string_view metric);
[[nodiscard]] std::vector<std::string> metrics_in(hid_t file);

/// @throws Error{invalid_input} naming the file.
[[nodiscard]] hdf5::Id open_to_read(const std::string& path);

}  // namespace penstock::telemetry
