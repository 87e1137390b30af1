#include <algorithm>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/elements.hpp"
#include "operators/hdf5/handles.hpp"
#include "operators/hdf5/info.hpp"
#include "operators/hdf5/metadata_json.hpp"
#include "operators/hdf5/payload_table.hpp"
#include "operators/hdf5/types.hpp"

namespace penstock {
namespace {

using hdf5::Guard;
using hdf5::Id;
using hdf5::PayloadRow;
using hdf5::PayloadTableReader;

/// The rows of one payload.
struct Lot {
    std::uint64_t first = 0;
    std::uint64_t rows = 0;
};

/// An open dataset whose elements have a dtype, or are texts in a line.
class RowReader {
public:
    RowReader(const std::string& path, const std::string& name) : path_{path}, name_{name} {
        open_file();
        open_dataset();
        read_type();
        read_extents();
    }

    [[nodiscard]] hid_t file() const noexcept { return file_.get(); }
    [[nodiscard]] std::uint64_t rows() const noexcept { return extents_[0]; }
    [[nodiscard]] bool texts() const noexcept { return texts_; }
    /// Whether hdf5_sink made it from payloads that are one row each.
    [[nodiscard]] bool stacked() const noexcept { return stacked_; }
    [[nodiscard]] std::uint64_t row_bytes() const noexcept { return row_bytes_; }
    [[nodiscard]] bool has_table() const {
        return H5Lexists(file_.get(), hdf5::table_name(name_).c_str(), H5P_DEFAULT) > 0;
    }

    [[nodiscard]] PayloadTableReader table() const {
        const std::string name = hdf5::table_name(name_);
        Id dataset{H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT)};
        if (!dataset)
            hdf5::fail(Errc::invalid_input,
                       "cannot open the dataset " + in_quotes(name) + " of " + path_in_quotes(path_));
        Id metadata;  // of a file that several instances have written
        const std::string texts = hdf5::metadata_name(name_);
        if (H5Lexists(file_.get(), texts.c_str(), H5P_DEFAULT) > 0)
            metadata = Id{H5Dopen2(file_.get(), texts.c_str(), H5P_DEFAULT)};
        return PayloadTableReader{std::move(dataset), std::move(metadata)};
    }

    /// @param as_row  One row, in its own shape, without the first dimension.
    [[nodiscard]] RawDraft read(Output& out, Lot lot, bool as_row) const {
        if (texts_) return read_text(out, lot.first);
        std::vector<std::uint64_t> extents(extents_.begin(), extents_.end());
        extents[0] = lot.rows;
        if (as_row) extents.erase(extents.begin());
        const Shape shape{extents};
        RawDraft draft = draft_of(out, dtype_, shape);
        if (draft.size_bytes() > 0) read_into(draft, lot);
        return draft;
    }

private:
    [[noreturn]] void refuse(const std::string& what) const {
        throw Error{Errc::invalid_input,
                    "the dataset " + in_quotes(name_) + " of " + path_in_quotes(path_) + " " + what};
    }

    void open_file() {
        std::error_code ignored;
        if (!std::filesystem::exists(path_, ignored)) {
            throw Error{Errc::invalid_input,
                        "there is no file " + path_in_quotes(path_) + "; set \"input\" to an HDF5 file"};
        }
        file_ = Id{H5Fopen(path_.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT)};
        if (!file_) hdf5::fail(Errc::invalid_input, "cannot read " + path_in_quotes(path_) + " as an HDF5 file");
    }

    void open_dataset() {
        const Id object{name_.empty() || name_.find('\0') != std::string::npos
                            ? H5I_INVALID_HID
                            : H5Oopen(file_.get(), name_.c_str(), H5P_DEFAULT)};
        if (!object) {
            hdf5::fail(Errc::invalid_input, path_in_quotes(path_) + " has no dataset " + in_quotes(name_) +
                                                "; set \"dataset\" to one of those that h5ls shows");
        }
        if (H5Iget_type(object.get()) != H5I_DATASET) refuse("is no dataset but a group; set \"dataset\" to one in it");
        dataset_ = Id{H5Dopen2(file_.get(), name_.c_str(), H5P_DEFAULT)};
        if (!dataset_)
            hdf5::fail(Errc::invalid_input,
                       "cannot open the dataset " + in_quotes(name_) + " of " + path_in_quotes(path_));
    }

    void read_type() {
        const Id type{H5Dget_type(dataset_.get())};
        if (!type) hdf5::fail(Errc::invalid_input, "cannot read the type of the dataset " + in_quotes(name_));
        texts_ = H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) > 0;
        const auto stored = texts_ ? std::optional{DType::text} : hdf5::dtype_of_stored(type.get());
        if (!stored) {
            refuse("has " + hdf5::describe_type(type.get()) +
                   ", which payloads cannot hold; convert it to integers of 1, 2, 4 or 8 bytes or floats of 4 or 8");
        }
        dtype_ = *stored;
        const auto written = hdf5::word_attribute(dataset_.get(), "dtype");
        if (dtype_ == DType::u8 && written == "bytes") dtype_ = DType::bytes;
        if (dtype_ == DType::u8 && written == "text") dtype_ = DType::text;
        stacked_ = hdf5::word_attribute(dataset_.get(), "layout") == "stack";
    }

    void read_extents() {
        const Id space{H5Dget_space(dataset_.get())};
        const int dims = space ? H5Sget_simple_extent_ndims(space.get()) : -1;
        if (dims < 0) hdf5::fail(Errc::invalid_input, "cannot read the extents of the dataset " + in_quotes(name_));
        if (dims == 0) refuse("is a single value; it needs at least one dimension");
        if (texts_ && dims != 1) refuse("has texts in more than one dimension");
        if (dims > static_cast<int>(Shape::max_dims) + (stacked_ ? 1 : 0))
            refuse(fmt::format("has {} dimensions; payloads have at most {}", dims, Shape::max_dims));
        extents_.resize(static_cast<std::size_t>(dims));
        H5Sget_simple_extent_dims(space.get(), extents_.data(), nullptr);
        row_bytes_ = size_of(dtype_);
        for (std::size_t dim = 1; dim < extents_.size(); ++dim) {
            if (__builtin_mul_overflow(row_bytes_, extents_[dim], &row_bytes_)) refuse("has rows that no memory holds");
        }
    }

    /// A selection of those rows.
    [[nodiscard]] Id select(Lot lot) const {
        Id space = hdf5::made(H5Dget_space(dataset_.get()), "HDF5 extents");
        std::vector<hsize_t> start(extents_.size(), 0);
        std::vector<hsize_t> count = extents_;
        start[0] = lot.first;
        count[0] = lot.rows;
        hdf5::check(H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
                    "HDF5 selection");
        return space;
    }

    void read_into(RawDraft& draft, Lot lot) const {
        const hsize_t elements = draft.size_bytes() / size_of(dtype_);
        const Id to = hdf5::made(H5Screate_simple(1, &elements, nullptr), "HDF5 extents");
        const Id from = select(lot);
        if (H5Dread(dataset_.get(), hdf5::native_type(dtype_), to.get(), from.get(), H5P_DEFAULT,
                    draft.bytes().data()) < 0)
            fail_read(lot);
    }

    [[nodiscard]] RawDraft read_text(Output& out, std::uint64_t row) const {
        const Lot lot{row, 1};
        const hsize_t one = 1;
        const Id to = hdf5::made(H5Screate_simple(1, &one, nullptr), "HDF5 extents");
        const Id type = hdf5::text_type();
        const Id stored = hdf5::made(H5Dget_type(dataset_.get()), "HDF5 type");
        hdf5::check(H5Tset_cset(type.get(), H5Tget_cset(stored.get())), "HDF5 text type");
        char* text = nullptr;
        if (H5Dread(dataset_.get(), type.get(), to.get(), select(lot).get(), H5P_DEFAULT, &text) < 0) fail_read(lot);
        struct Freed {
            char* text;
            ~Freed() { H5free_memory(text); }
        } const freed{text};
        const std::string_view view = text == nullptr ? std::string_view{} : std::string_view{text};
        auto draft = out.draft<char>(view.size());
        std::copy(view.begin(), view.end(), draft.begin());
        return draft;
    }

    [[noreturn]] void fail_read(Lot lot) const {
        hdf5::fail(Errc::invalid_input, fmt::format("cannot read rows {} to {} of the dataset {} of {}", lot.first,
                                                    lot.first + lot.rows - 1, in_quotes(name_), path_in_quotes(path_)));
    }

    std::string path_;
    std::string name_;
    Id file_;
    Id dataset_;
    DType dtype_ = DType::u8;
    bool texts_ = false;
    bool stacked_ = false;
    std::vector<hsize_t> extents_;
    std::uint64_t row_bytes_ = 0;
};

class Hdf5Source final : public Source {
public:
    Hdf5Source(const Params& params, StageContext& context)
        : context_{context}, instances_{static_cast<std::uint64_t>(context.instances())} {
        const Guard guard;
        const auto rows = static_cast<std::uint64_t>(params.get<std::int64_t>("rows"));
        reader_.emplace(params.get<std::string>("input"), params.get<std::string>("dataset"));
        if (reader_->texts() && !params.get<bool>("payloads")) {
            throw Error{Errc::invalid_input,
                        "the dataset has texts of variable length, which are read only with "
                        "\"payloads\" set to true"};
        }
        if (rows == 0 && params.get<bool>("payloads") && reader_->has_table()) table_.emplace(reader_->table());
        lot_rows_ = rows > 0 ? rows : rows_for_about_a_mebibyte();
        if (reader_->texts()) lot_rows_ = 1;
        const std::uint64_t whole = reader_->rows() / lot_rows_ + (reader_->rows() % lot_rows_ != 0 ? 1 : 0);
        share(table_ ? table_->size() : whole, params.get<std::string>("share"));
    }
    Hdf5Source(const Hdf5Source&) = delete;
    Hdf5Source& operator=(const Hdf5Source&) = delete;
    ~Hdf5Source() override {
        const Guard guard;
        table_.reset();
        reader_.reset();
    }

    bool produce(Output& out) override {
        if (next_ >= end_) return false;
        const std::uint64_t index = next_;
        out.emit(table_ ? as_written(out, index) : by_rows(out, index));
        next_ = step_ < end_ - index ? index + step_ : end_;
        context_.count("payloads", 1);
        return true;
    }

private:
    /// Sets which payloads are ours.
    void share(std::uint64_t payloads, const std::string& how) {
        const auto mine = static_cast<std::uint64_t>(context_.instance());
        if (how == "contiguous") {
            const std::uint64_t each = payloads / instances_;
            const std::uint64_t more = payloads % instances_;
            next_ = mine * each + std::min(mine, more);
            end_ = next_ + each + (mine < more ? 1 : 0);
            step_ = 1;
        } else {
            next_ = mine;
            end_ = payloads;
            step_ = instances_;
        }
    }

    [[nodiscard]] std::uint64_t rows_for_about_a_mebibyte() const {
        constexpr std::uint64_t mebibyte = 1U << 20U;
        return std::max<std::uint64_t>(mebibyte / std::max<std::uint64_t>(reader_->row_bytes(), 1), 1);
    }

    [[nodiscard]] RawDraft by_rows(Output& out, std::uint64_t index) const {
        const Guard guard;
        const std::uint64_t first = index * lot_rows_;
        return reader_->read(out, {first, std::min(lot_rows_, reader_->rows() - first)}, false);
    }

    [[nodiscard]] RawDraft as_written(Output& out, std::uint64_t index) {
        const Guard guard;
        const PayloadRow& row = table_->at(index);
        const std::uint64_t all = reader_->rows();
        if (row.first_row > all || row.rows > all - row.first_row ||
            ((reader_->stacked() || reader_->texts()) && row.rows != 1)) {
            throw Error{Errc::invalid_input,
                        fmt::format("row {} of the table of the payloads names rows that the dataset "
                                    "does not have; set \"payloads\" to false to read it without "
                                    "the table",
                                    index)};
        }
        RawDraft draft = reader_->read(out, {row.first_row, row.rows}, reader_->stacked());
        draft.set_format(row.format);
        if (row.user_id) draft.set_user_id(*row.user_id);
        with_context([&] { return fmt::format("reading row {} of the table of the payloads", index); },
                     [&] { hdf5::set_metadata(draft, row.metadata); });
        return draft;
    }

    StageContext& context_;
    std::uint64_t instances_;
    std::optional<RowReader> reader_;
    std::optional<PayloadTableReader> table_;
    std::uint64_t lot_rows_ = 1;
    std::uint64_t next_ = 0;  // of the payloads of all instances together
    std::uint64_t end_ = 0;
    std::uint64_t step_ = 1;
};

}  // namespace

void add_hdf5_source(Registry& registry) {
    registry.add<Hdf5Source>(hdf5::source_info());
}

}  // namespace penstock
