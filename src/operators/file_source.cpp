#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/elements.hpp"
#include "operators/input_file.hpp"
#include "operators/input_names.hpp"
#include "operators/malformed.hpp"
#include "operators/progress.hpp"

namespace penstock {
namespace {

DType dtype_named(std::string_view name) {
    for (std::size_t i = 0; i < dtype_count; ++i) {
        if (name_of(static_cast<DType>(i)) == name) return static_cast<DType>(i);
    }
    throw Error{Errc::invalid_input, "there is no dtype " + in_quotes(name)};
}

std::vector<std::uint64_t> extents_of(const Params& params) {
    std::vector<std::uint64_t> extents;
    for (const ParamValue& value : params.get<ParamValue::List>("shape")) {
        const auto* extent = std::get_if<std::int64_t>(&value.value);
        if (extent == nullptr || *extent < 1) {
            throw Error{Errc::invalid_input, "\"shape\" is a list of whole numbers from 1, not " + value.text()};
        }
        extents.push_back(static_cast<std::uint64_t>(*extent));
    }
    return extents;
}

class FileSource final : public Source {
public:
    FileSource(const Params& params, StageContext& context)
        : context_{context},
          names_{input_names(params.get<std::string>("input"))},
          dtype_{dtype_named(params.get<std::string>("dtype"))},
          part_{static_cast<std::size_t>(context.instance())},
          parts_{static_cast<std::size_t>(context.instances())},
          malformed_{context} {
        const auto extents = extents_of(params);
        if (!extents.empty()) {
            shape_.emplace(extents);
            piece_bytes_ = shape_->count() * size_of(dtype_);
        } else {
            const auto block = static_cast<std::uint64_t>(params.get<std::int64_t>("block"));
            piece_bytes_ = std::max<std::uint64_t>(block / size_of(dtype_), 1) * size_of(dtype_);
        }
        // All instances look at the sizes before the stream begins, so that all part the files alike.
        std::uint64_t pieces = 0;
        std::uint64_t bytes = 0;
        for (const std::string& name : names_) {
            const std::optional<std::uint64_t> size = InputFile{name}.size_bytes();
            if (!size && parts_ > 1) {
                throw Error{Errc::invalid_input,
                            "the input " + path_in_quotes(name) +
                                " is no regular file, so it cannot be shared; set \"instances\" to 1"};
            }
            files_.push_back({size, pieces, bytes});
            pieces += pieces_in(size.value_or(0));
            bytes += size.value_or(0);
        }
    }

    bool produce(Output& out) override {
        if (sent_ == 0) watch_.start();
        while (!file_ || !produce_from_file(out)) {
            if (file_) end_file();
            if (next_file_ == names_.size()) return false;
            begin_file();
        }
        ++sent_;
        return true;
    }

    void finish() override {
        malformed_.report();
        const double seconds = watch_.seconds();
        context_.log().info(
            fmt::format("Read {} bytes in {} payloads in {}", sent_bytes_, sent_, watch_.seconds_text()),
            {{"payloads", static_cast<std::int64_t>(sent_)},
             {"bytes", static_cast<std::int64_t>(sent_bytes_)},
             {"seconds", seconds}});
    }

private:
    struct File {
        std::optional<std::uint64_t> size_bytes;
        std::uint64_t first_piece = 0;  // of all files together
        std::uint64_t first_byte = 0;
    };

    /// A piece with a shape is whole; without one the last piece of a file may be shorter.
    [[nodiscard]] std::uint64_t pieces_in(std::uint64_t size_bytes) const noexcept {
        const std::uint64_t whole = size_bytes / piece_bytes_;
        return whole + (!shape_ && size_bytes % piece_bytes_ >= size_of(dtype_) ? 1 : 0);
    }

    void begin_file() {
        file_.emplace(names_[next_file_]);
        current_ = files_[next_file_++];
        if (parts_ > 1 && file_->size_bytes() != current_.size_bytes) file_->fail_for_growth();
        const std::uint64_t pieces = pieces_in(file_->size_bytes().value_or(0));
        next_piece_ = part_begin(part_, parts_, pieces);
        end_piece_ = part_begin(part_ + 1, parts_, pieces);
    }

    void end_file() {
        if (file_->check_growth(parts_)) {
            context_.log().warn(fmt::format("{} grew while it was read; what was added is not in the stream",
                                            path_in_quotes(file_->path())));
        }
        if (part_ + 1 == parts_ && file_->size_bytes()) {
            const std::uint64_t size = *file_->size_bytes();
            leave_out(size % piece_bytes_ % (shape_ ? piece_bytes_ : size_of(dtype_)), size);
        }
        file_.reset();
    }

    void leave_out(std::uint64_t bytes, std::uint64_t end) {
        if (bytes == 0) return;
        const FilePlace place{file_->path(), 0, end - bytes};
        malformed_.add(place, "",
                       fmt::format("the last {} bytes are no whole {}", bytes,
                                   shape_ ? fmt::format("record of {} bytes", piece_bytes_) : "element"));
    }

    [[nodiscard]] bool produce_from_file(Output& out) {
        if (!file_->size_bytes()) return produce_from_pipe(out);
        if (next_piece_ == end_piece_) return false;
        const std::uint64_t begin = next_piece_ * piece_bytes_;
        const std::uint64_t whole = *file_->size_bytes() - *file_->size_bytes() % size_of(dtype_);
        RawDraft draft = draft_for(out, std::min(piece_bytes_, whole - begin));
        const auto room = draft.bytes();
        static_cast<void>(file_->read_at(begin, reinterpret_cast<char*>(room.data()), room.size()));
        emit(out, std::move(draft), next_piece_, begin);
        ++next_piece_;
        return true;
    }

    /// Waits for a whole piece, or the end.
    [[nodiscard]] bool produce_from_pipe(Output& out) {
        RawDraft draft = draft_for(out, piece_bytes_);
        const auto room = draft.bytes();
        std::size_t filled = 0;
        while (filled < room.size()) {
            const std::size_t count =
                file_->read_next(reinterpret_cast<char*>(room.data()) + filled, room.size() - filled);
            if (count == 0) break;
            filled += count;
        }
        const std::uint64_t begin = next_piece_ * piece_bytes_;
        const std::size_t kept = shape_ ? filled / room.size() * room.size() : filled - filled % size_of(dtype_);
        leave_out(filled - kept, begin + filled);
        if (kept == 0) return false;
        if (kept < room.size()) draft.shrink(kept);
        emit(out, std::move(draft), next_piece_, begin);
        ++next_piece_;
        return true;
    }

    [[nodiscard]] RawDraft draft_for(Output& out, std::uint64_t bytes) const {
        return draft_of(out, dtype_, shape_ ? *shape_ : Shape{bytes / size_of(dtype_)});
    }

    void emit(Output& out, RawDraft draft, std::uint64_t piece, std::uint64_t begin) {
        draft.set_format(Format::raw);
        draft.set_user_id(current_.first_piece + piece);
        draft.set("byte", current_.first_byte + begin);
        sent_bytes_ += draft.size_bytes();
        out.emit(std::move(draft));
    }

    StageContext& context_;
    std::vector<std::string> names_;
    DType dtype_;
    std::size_t part_;
    std::size_t parts_;
    MalformedRecords malformed_;
    std::optional<Shape> shape_;
    std::uint64_t piece_bytes_ = 0;
    std::vector<File> files_;
    std::size_t next_file_ = 0;
    std::optional<InputFile> file_;
    File current_;
    std::uint64_t next_piece_ = 0;
    std::uint64_t end_piece_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t sent_bytes_ = 0;
    Stopwatch watch_;
};

}  // namespace

void add_file_source(Registry& registry) {
    std::vector<std::string> dtypes;
    for (std::size_t i = 0; i < dtype_count; ++i) dtypes.emplace_back(name_of(static_cast<DType>(i)));
    registry.add<FileSource>({
        .name = "file_source",
        .help =
            "Reads files as they are, in blocks or as records of one shape; its instances share each file. The user "
            "id of a payload is its number in all files together, \"byte\" in its metadata where it begins.",
        .params = {{.name = "input",
                    .kind = ParamKind::string,
                    .help = "File to read, or a pattern like \"data/*.bin\"; a relative name lies in the directory in "
                            "which the run was started."},
                   {.name = "block",
                    .kind = ParamKind::size,
                    .help = "Size of a payload without a shape, rounded down to whole elements; the last one may be "
                            "shorter.",
                    .fallback = ParamValue{std::int64_t{1} << 20},
                    .unit = "bytes",
                    .minimum = 1,
                    .maximum = 1e12},
                   {.name = "dtype",
                    .kind = ParamKind::string,
                    .help = "Type of the elements, in the byte order of this machine.",
                    .fallback = ParamValue{std::string{"bytes"}},
                    .choices = dtypes},
                   {.name = "shape",
                    .kind = ParamKind::list,
                    .help = "Extents of a record, row-major; each payload is one. Empty: blocks.",
                    .fallback = ParamValue{ParamValue::List{}}}},
    });
}

}  // namespace penstock
