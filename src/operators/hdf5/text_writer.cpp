#include "operators/hdf5/text_writer.hpp"

#include "operators/hdf5/row_writer.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock::hdf5 {
namespace {

constexpr hsize_t chunk_rows = 1024;

}  // namespace

TextWriter::TextWriter(hid_t parent, const std::string& name) {
    constexpr hsize_t none = 0;
    constexpr hsize_t most = H5S_UNLIMITED;
    const Id space = made(H5Screate_simple(1, &none, &most), "HDF5 extents");
    dataset_ = made(H5Dcreate2(parent, name.c_str(), text_type().get(), space.get(), H5P_DEFAULT,
                               dataset_properties({&chunk_rows, 1}, {}).get(), H5P_DEFAULT),
                    "cannot create an HDF5 dataset");
}

void TextWriter::flush() {
    if (waiting_.empty()) return;
    std::vector<const char*> starts;
    starts.reserve(waiting_.size());
    for (const std::string& text : waiting_) starts.push_back(text.c_str());
    const hsize_t first = written_;
    const hsize_t count = starts.size();
    const hsize_t all = first + count;
    check(H5Dset_extent(dataset_.get(), &all), "HDF5 extents");
    const Id from = made(H5Screate_simple(1, &count, nullptr), "HDF5 extents");
    const Id to = made(H5Dget_space(dataset_.get()), "HDF5 extents");
    check(H5Sselect_hyperslab(to.get(), H5S_SELECT_SET, &first, nullptr, &count, nullptr), "HDF5 selection");
    check(H5Dwrite(dataset_.get(), text_type().get(), from.get(), to.get(), H5P_DEFAULT, starts.data()),
          "cannot write HDF5 texts");
    written_ = all;
    waiting_.clear();
}

}  // namespace penstock::hdf5
