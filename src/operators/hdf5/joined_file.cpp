#include "operators/hdf5/joined_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numeric>

#include <fmt/format.h>

#include "base/quote.hpp"
#include "operators/hdf5/payload_table.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

/// A part that was opened for reading.
struct Part {
    std::string path;
    Id file;
    Id dataset;  // nothing when the instance got no payload
    std::vector<hsize_t> extents;

    [[nodiscard]] hsize_t rows() const { return extents[0]; }
};

/// Nothing if it is not there or not complete.
std::optional<Part> open_part(const std::string& path, const std::string& run) {
    if (!std::filesystem::is_regular_file(path)) return std::nullopt;
    Part part{path, Id{H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)}, {}, {}};
    if (!part.file || number_attribute(part.file.get(), "complete") != 1U) return std::nullopt;
    if (text_attribute(part.file.get(), "run") != run) return std::nullopt;
    return part;
}

void open_dataset(Part& part, const std::string& name) {
    if (H5Lexists(part.file.get(), name.c_str(), H5P_DEFAULT) <= 0) return;
    part.dataset = made(H5Dopen2(part.file.get(), name.c_str(), H5P_DEFAULT), "cannot open a dataset");
    const Id space = made(H5Dget_space(part.dataset.get()), "HDF5 extents");
    part.extents.resize(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
    H5Sget_simple_extent_dims(space.get(), part.extents.data(), nullptr);
}

std::string file_name(const std::string& path) {
    return std::filesystem::path{path}.filename().string();
}

/// Why two datasets cannot follow each other; empty if they can.
std::string mismatch(const Part& a, const Part& b) {
    const Id type_a = made(H5Dget_type(a.dataset.get()), "HDF5 type");
    const Id type_b = made(H5Dget_type(b.dataset.get()), "HDF5 type");
    const bool same_rows = a.extents.size() == b.extents.size() &&
                           std::equal(a.extents.begin() + 1, a.extents.end(), b.extents.begin() + 1);
    if (same_rows && H5Tequal(type_a.get(), type_b.get()) > 0) return {};
    return fmt::format("{} and {} have elements of different type or shape", file_name(a.path), file_name(b.path));
}

/// One dataset over all parts, in their order.
void write_virtual(hid_t file, const std::string& name, const std::vector<const Part*>& parts) {
    const Part& first = *parts.front();
    std::vector<hsize_t> extents = first.extents;
    extents[0] = std::accumulate(parts.begin(), parts.end(), hsize_t{0},
                                 [](hsize_t sum, const Part* part) { return sum + part->rows(); });
    const int dims = static_cast<int>(extents.size());
    const Id space = made(H5Screate_simple(dims, extents.data(), nullptr), "HDF5 extents");
    const Id properties = made(H5Pcreate(H5P_DATASET_CREATE), "HDF5 dataset properties");
    check(H5Pset_layout(properties.get(), H5D_VIRTUAL), "HDF5 virtual layout");
    std::vector<hsize_t> start(extents.size(), 0);
    for (const Part* part : parts) {
        const bool empty = std::find(part->extents.begin(), part->extents.end(), hsize_t{0}) != part->extents.end();
        if (!empty) {
            const Id from = made(H5Screate_simple(dims, part->extents.data(), nullptr), "HDF5 extents");
            const Id to = made(H5Screate_simple(dims, extents.data(), nullptr), "HDF5 extents");
            check(H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, start.data(), nullptr, part->extents.data(), nullptr),
                  "HDF5 selection");
            check(H5Pset_virtual(properties.get(), to.get(), file_name(part->path).c_str(), ("/" + name).c_str(),
                                 from.get()),
                  "HDF5 virtual dataset");
        }
        start[0] += part->rows();
    }
    const Id type = made(H5Dget_type(first.dataset.get()), "HDF5 type");
    const Id dataset =
        made(H5Dcreate2(file, name.c_str(), type.get(), space.get(), H5P_DEFAULT, properties.get(), H5P_DEFAULT),
             "cannot create a virtual HDF5 dataset");
    for (const char* attribute : {"dtype", "layout"}) {
        if (const auto word = word_attribute(first.dataset.get(), attribute)) set_word(dataset.get(), attribute, *word);
    }
}

void copy_table(hid_t file, const std::string& name, const std::vector<const Part*>& parts) {
    constexpr std::uint64_t rows_at_once = 4096;
    std::optional<PayloadTableWriter> table;
    std::uint64_t first_row = 0;
    for (const Part* part : parts) {
        if (H5Lexists(part->file.get(), name.c_str(), H5P_DEFAULT) > 0) {
            if (!table) table.emplace(file, name);
            PayloadTableReader reader{
                made(H5Dopen2(part->file.get(), name.c_str(), H5P_DEFAULT), "cannot open a table")};
            for (std::uint64_t i = 0; i < reader.size(); ++i) {
                PayloadRow row = reader.at(i);
                row.first_row += first_row;
                table->add(std::move(row));
                if (i % rows_at_once == 0) table->flush();
            }
        }
        first_row += part->rows();
    }
    if (table) table->flush();
}

void write_links(hid_t file, const std::string& name, const std::vector<Part>& parts) {
    const Id group =
        made(H5Gcreate2(file, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), "cannot create a group");
    for (std::size_t i = 0; i < parts.size(); ++i) {
        check(H5Lcreate_external(file_name(parts[i].path).c_str(), ("/" + name).c_str(), group.get(),
                                 std::to_string(i).c_str(), H5P_DEFAULT, H5P_DEFAULT),
              "cannot create a link");
    }
}

}  // namespace

std::optional<StageFiles> stage_files(const std::string& path, int instance, int instances) {
    const std::filesystem::path mine{path};
    const std::string extension = mine.extension().string();
    const std::filesystem::path numbered = mine.parent_path() / mine.stem();
    if (numbered.extension() != "." + std::to_string(instance)) return std::nullopt;
    StageFiles files;
    files.joined = (numbered.parent_path() / numbered.stem()).string() + extension;
    for (int i = 0; i < instances; ++i) {
        files.parts.push_back((numbered.parent_path() / numbered.stem()).string() + "." + std::to_string(i) +
                              extension);
    }
    return files;
}

Joined join(const StageFiles& files, const ResultSettings& settings, const Origin& origin, std::string& why) {
    const Guard guard;
    std::vector<Part> parts;
    for (const std::string& path : files.parts) {
        auto part = open_part(path, origin.provenance.run);
        if (!part) {
            static_cast<void>(take_reason());
            return Joined::not_yet;
        }
        if (settings.layout != Layout::separate) open_dataset(*part, settings.dataset);
        parts.push_back(std::move(*part));
    }
    std::vector<const Part*> filled;
    for (const Part& part : parts) {
        if (part.dataset) filled.push_back(&part);
    }
    for (const Part* part : filled) {
        why = mismatch(*filled.front(), *part);
        if (!why.empty()) return Joined::no;
    }

    const std::string new_path = files.joined + "." + std::to_string(origin.instance) + ".new";
    {
        const Id access = made(H5Pcreate(H5P_FILE_ACCESS), "HDF5 file properties");
        check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V110, H5F_LIBVER_LATEST), "HDF5 format bounds");
        const Id file = made(H5Fcreate(new_path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()),
                             "cannot create the file " + path_in_quotes(files.joined));
        Origin everybody = origin;
        everybody.instance = 0;
        describe_origin(file.get(), everybody);
        set_attribute(file.get(), "complete", std::uint64_t{1});
        std::vector<std::string> names;
        for (const Part& part : parts) names.push_back(file_name(part.path));
        set_attribute(file.get(), "parts", names);
        if (settings.layout == Layout::separate) {
            write_links(file.get(), settings.dataset, parts);
        } else if (!filled.empty()) {
            write_virtual(file.get(), settings.dataset, filled);
            if (settings.table) copy_table(file.get(), table_name(settings.dataset), filled);
        }
        check(H5Fflush(file.get(), H5F_SCOPE_LOCAL), "cannot write the file " + path_in_quotes(files.joined));
    }
    if (std::rename(new_path.c_str(), files.joined.c_str()) != 0) {
        throw Error{Errc::failed,
                    "cannot give the file " + path_in_quotes(files.joined) + " its name: " + std::strerror(errno)};
    }
    return Joined::yes;
}

}  // namespace penstock::hdf5
