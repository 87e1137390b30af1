#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/csv_numbers.hpp"
#include "operators/csv_reader.hpp"
#include "operators/csv_text.hpp"
#include "operators/input_names.hpp"
#include "operators/malformed.hpp"
#include "operators/progress.hpp"

namespace penstock {
namespace {

constexpr std::size_t max_names_bytes = 16'384;  // of the names that go into the metadata of each payload

std::vector<std::string> strings(const Params& params, std::string_view name) {
    std::vector<std::string> all;
    for (const ParamValue& value : params.get<ParamValue::List>(name)) {
        const auto* text = std::get_if<std::string>(&value.value);
        if (text == nullptr) {
            throw Error{Errc::invalid_input, fmt::format("\"{}\" is a list of strings, not {}", name, value.text())};
        }
        all.push_back(*text);
    }
    return all;
}

CsvDialect dialect_of(const Params& params) {
    std::string delimiter = params.get<std::string>("delimiter");
    const std::string quote = params.get<std::string>("quote");
    if (delimiter == "tab") delimiter = "\t";
    const auto is_line_end = [](const std::string& text) { return text == "\n" || text == "\r"; };
    if (delimiter.size() != 1 || delimiter[0] == '\0' || is_line_end(delimiter)) {
        throw Error{Errc::invalid_input,
                    "\"delimiter\" is one letter or \"tab\", and no line end, not " + in_quotes(delimiter)};
    }
    if (quote.size() > 1 || quote == delimiter || is_line_end(quote) || quote == std::string(1, '\0')) {
        throw Error{Errc::invalid_input,
                    "\"quote\" is one letter, or empty for none; it is neither the delimiter nor a "
                    "line end, not " +
                        in_quotes(quote)};
    }
    return {delimiter[0], quote.empty() ? '\0' : quote[0]};
}

enum class FieldType : std::uint8_t { text, f64, i64 };

FieldType field_type(const std::string& name) {
    if (name == "text") return FieldType::text;
    if (name == "f64") return FieldType::f64;
    if (name == "i64") return FieldType::i64;
    throw Error{Errc::invalid_input, "\"types\" has " + in_quotes(name) + "; its items are text, f64 or i64"};
}

bool has_type(std::string_view field, FieldType type) noexcept {
    switch (type) {
        case FieldType::f64: return parse_field<double>(field).has_value();
        case FieldType::i64: return parse_field<std::int64_t>(field).has_value();
        case FieldType::text: break;
    }
    return true;
}

std::string_view words(FieldType type) noexcept {
    return type == FieldType::i64 ? "a whole number" : "a number";
}

/// The good rows of this instance's part of each file, one after the other.
class GoodRows {
public:
    GoodRows(const Params& params, StageContext& context)
        : context_{context},
          names_{input_names(params.get<std::string>("input"))},
          wanted_{strings(params, "columns")},
          options_{.dialect = dialect_of(params),
                   .header = params.get<bool>("header"),
                   .part = static_cast<std::size_t>(context.instance()),
                   .parts = static_cast<std::size_t>(context.instances()),
                   .max_row_bytes = static_cast<std::size_t>(params.get<std::int64_t>("max_row"))},
          fail_{params.get<std::string>("on_bad") == "fail"},
          malformed_{context, MalformedRecords::Strict::no, params.get<std::string>("dead_letter")} {
        // All instances look at the sizes before the stream begins, so that all part the files alike.
        for (const std::string& name : names_) {
            sizes_.push_back(options_.parts > 1 ? InputFile{name}.size_bytes() : std::nullopt);
        }
        open_next();
    }

    /// Goes to the next row that has as many fields as the first one. @return false at the end of this file's part.
    [[nodiscard]] bool next() {
        while (reader_->next()) {
            if (reader_->row().problem().empty()) return true;
            reject(reader_->row().problem());
        }
        return false;
    }

    /// @return false if this was the last one.
    [[nodiscard]] bool next_file() {
        if (is_done_) return false;
        if (reader_->check_growth()) {
            context_.log().warn(fmt::format("{} grew while it was read; what was added is not in the stream",
                                            path_in_quotes(reader_->path())));
        }
        is_done_ = next_file_ == names_.size();
        if (!is_done_) open_next();
        return !is_done_;
    }

    [[nodiscard]] const CsvRow& row() const noexcept { return reader_->row(); }
    [[nodiscard]] std::uint64_t byte() const noexcept { return reader_->byte(); }
    /// The columns that are wanted, in the file that the row is in.
    [[nodiscard]] const std::vector<std::uint32_t>& columns() const noexcept { return columns_; }
    /// Their names, parted by commas; empty without a header.
    [[nodiscard]] const std::string& column_names() const noexcept { return column_names_; }
    [[nodiscard]] const CsvDialect& dialect() const noexcept { return options_.dialect; }
    [[nodiscard]] bool takes_all_columns() const noexcept { return wanted_.empty(); }

    /// The row cannot be used. @throws Error{invalid_input} if that is to end the run.
    void reject(std::string_view reason) {
        const FilePlace place{reader_->path(), reader_->line(), reader_->byte()};
        malformed_.add(place, row().text(), reason);
        if (!fail_) return;
        throw Error{
            Errc::invalid_input,
            fmt::format("malformed record at {}: {}: {}; set \"on_bad\" to \"count\" to go on without such records",
                        text_of(place), reason, in_quotes(row().text()))};
    }
    void reject_field(std::size_t wanted, std::string_view expected) {
        std::string scratch;
        reject(fmt::format("field {} is not {}: {}", columns_[wanted] + 1, expected,
                           in_quotes(row().field(columns_[wanted], scratch))));
    }

    void finish() { malformed_.report(); }

private:
    void open_next() {
        reader_ = std::make_unique<CsvReader>(names_[next_file_], options_);
        if (options_.parts > 1 && reader_->size_bytes() != sizes_[next_file_]) reader_->fail_for_growth();
        ++next_file_;
        find_columns();
    }

    void find_columns() {
        columns_.clear();
        column_names_.clear();
        if (wanted_.empty()) {
            columns_.resize(reader_->fields());
            std::iota(columns_.begin(), columns_.end(), 0U);
        }
        for (const std::string& name : wanted_) columns_.push_back(static_cast<std::uint32_t>(column(name)));
        if (!options_.header) return;
        for (std::size_t i = 0; i < columns_.size(); ++i) {
            if (i > 0) column_names_ += ',';
            append_csv_field(column_names_, reader_->names()[columns_[i]]);
        }
        if (column_names_.size() > max_names_bytes) column_names_.clear();
    }

    [[nodiscard]] std::size_t column(const std::string& name) const {
        if (options_.header) return reader_->column(name);
        const auto number = parse_field<std::int64_t>(name);
        const auto fields = static_cast<std::int64_t>(reader_->fields());
        if (number && *number >= 1 && (*number <= fields || fields == 0)) return static_cast<std::size_t>(*number - 1);
        throw Error{Errc::invalid_input,
                    fmt::format("without a header \"columns\" are numbers from 1 to {} for the input file {}, not {}",
                                fields, path_in_quotes(reader_->path()), in_quotes(name))};
    }

    StageContext& context_;
    std::vector<std::string> names_;
    std::vector<std::optional<std::uint64_t>> sizes_;
    std::vector<std::string> wanted_;
    CsvOptions options_;
    bool fail_;
    MalformedRecords malformed_;
    std::unique_ptr<CsvReader> reader_;
    std::size_t next_file_ = 0;
    bool is_done_ = false;
    std::vector<std::uint32_t> columns_;
    std::string column_names_;
};

/// What the source makes of the rows.
class CsvBatches {
public:
    virtual ~CsvBatches() = default;
    /// @return the rows of the batch that it has emitted; 0 at the end.
    [[nodiscard]] virtual std::uint64_t emit_batch(GoodRows& rows, Output& out) = 0;
};

void describe(RawDraft& draft, const GoodRows& rows, std::uint64_t byte, std::uint64_t count) {
    draft.set("records", count);
    draft.set("byte", byte);
    if (!rows.column_names().empty()) draft.set("columns", std::string_view{rows.column_names()});
}

/// Rows as text.
class TextBatches final : public CsvBatches {
public:
    TextBatches(const Params& params, const GoodRows& rows)
        : batch_rows_{static_cast<std::uint64_t>(params.get<std::int64_t>("batch_rows"))},
          batch_bytes_{static_cast<std::size_t>(params.get<std::int64_t>("batch_bytes"))},
          as_they_are_{rows.takes_all_columns() && rows.dialect().delimiter == ',' && rows.dialect().quote == '"'} {
        for (const std::string& type : strings(params, "types")) types_.push_back(field_type(type));
    }

    [[nodiscard]] std::uint64_t emit_batch(GoodRows& rows, Output& out) override {
        while (!has_row_ && !next(rows)) {
            if (!rows.next_file()) return 0;
        }
        // The row that begins the batch may be longer than one should be.
        const std::size_t most = std::max(batch_bytes_, text_.size());
        auto draft = out.draft<char>(std::clamp(expected_bytes_, text_.size(), most));
        const std::uint64_t byte = rows.byte();
        char* begin = draft.data();
        std::size_t room = draft.size();
        std::size_t size = 0;
        std::uint64_t count = 0;
        do {
            if (const std::size_t needed = size + text_.size() + 1; needed > room && room < most) {
                auto larger = out.draft<char>(std::min(std::max(needed, room * 2), most));
                std::memcpy(larger.data(), begin, size);
                draft = std::move(larger);
                begin = draft.data();
                room = draft.size();
            }
            if (count > 0) begin[size++] = '\n';  // lines are joined: none after the last one
            std::memcpy(begin + size, text_.data(), text_.size());
            size += text_.size();
            ++count;
            has_row_ = next(rows);
        } while (has_row_ && count < batch_rows_ && size + 1 + text_.size() <= most);
        expected_bytes_ = size + size / 4;
        draft.shrink(size);
        draft.set_format(Format::csv);
        describe(draft, rows, byte, count);
        out.emit(std::move(draft));
        return count;
    }

private:
    /// Goes to the next row whose fields have their types, and makes its text.
    [[nodiscard]] bool next(GoodRows& rows) {
        while (rows.next()) {
            if (!is_good(rows)) continue;
            text_ = as_they_are_ ? rows.row().text() : make_text(rows);
            return true;
        }
        return false;
    }

    [[nodiscard]] bool is_good(GoodRows& rows) {
        if (types_.empty()) return true;
        if (types_.size() != rows.columns().size()) {
            throw Error{Errc::invalid_input,
                        fmt::format("\"types\" has {} items for {} columns; set one for each column", types_.size(),
                                    rows.columns().size())};
        }
        for (std::size_t i = 0; i < types_.size(); ++i) {
            if (has_type(rows.row().field(rows.columns()[i], scratch_), types_[i])) continue;
            rows.reject_field(i, words(types_[i]));
            return false;
        }
        return true;
    }

    [[nodiscard]] std::string_view make_text(const GoodRows& rows) {
        made_.clear();
        if (rows.columns().size() == 1 && rows.row().field(rows.columns()[0], scratch_).empty()) return "\"\"";
        for (std::size_t i = 0; i < rows.columns().size(); ++i) {
            if (i > 0) made_ += ',';
            append_csv_field(made_, rows.row().field(rows.columns()[i], scratch_));
        }
        return made_;
    }

    std::uint64_t batch_rows_;
    std::size_t batch_bytes_;
    std::size_t expected_bytes_ = 4096;  // of a batch, with some to spare: more would keep memory that nobody uses
    bool as_they_are_;
    std::vector<FieldType> types_;
    bool has_row_ = false;
    std::string_view text_;
    std::string made_;
    std::string scratch_;
};

/// Rows as a tensor of rows by columns.
template <class T>
class NumberBatches final : public CsvBatches {
public:
    explicit NumberBatches(const Params& params)
        : batch_rows_{static_cast<std::uint64_t>(params.get<std::int64_t>("batch_rows"))},
          empty_{params.get<std::string>("empty") == "nan" ? EmptyField::is_nan : EmptyField::is_bad} {
        if (!params.get<ParamValue::List>("types").empty()) {
            throw Error{Errc::invalid_input,
                        "\"types\" is for output \"text\"; set \"dtype\" for the type of all numbers instead"};
        }
    }

    [[nodiscard]] std::uint64_t emit_batch(GoodRows& rows, Output& out) override {
        for (;;) {
            if (!rows.next()) {
                if (!rows.next_file()) return 0;
                continue;
            }
            const CsvNumbers<T> numbers{rows.columns(), empty_};
            const std::size_t columns = rows.columns().size();
            auto draft = out.draft<T>(Shape{batch_rows_, columns});
            std::uint64_t byte = 0;
            std::uint64_t count = 0;
            do {
                const std::size_t read = numbers.read(rows.row(), draft.data() + count * columns);
                if (read < columns) {
                    rows.reject_field(read, std::is_floating_point_v<T> ? "a number" : "a whole number in range");
                    continue;
                }
                if (count++ == 0) byte = rows.byte();
            } while (count < batch_rows_ && rows.next());
            if (count == 0) continue;
            if (count < batch_rows_) draft = cut(out, draft, count, columns);
            describe(draft, rows, byte, count);
            out.emit(std::move(draft));
            return count;
        }
    }

private:
    /// A batch that is not full, in its own shape.
    static Draft<T> cut(Output& out, Draft<T>& full, std::uint64_t rows, std::size_t columns) {
        auto draft = out.draft<T>(Shape{rows, columns});
        std::copy_n(full.begin(), rows * columns, draft.begin());
        return draft;
    }

    std::uint64_t batch_rows_;
    EmptyField empty_;
};

std::unique_ptr<CsvBatches> make_batches(const Params& params, const GoodRows& rows) {
    if (params.get<std::string>("output") == "text") return std::make_unique<TextBatches>(params, rows);
    const auto dtype = params.get<std::string>("dtype");
    if (dtype == "f32") return std::make_unique<NumberBatches<float>>(params);
    if (dtype == "i64") return std::make_unique<NumberBatches<std::int64_t>>(params);
    if (dtype == "i32") return std::make_unique<NumberBatches<std::int32_t>>(params);
    return std::make_unique<NumberBatches<double>>(params);
}

class CsvSource final : public Source {
public:
    CsvSource(const Params& params, StageContext& context)
        : context_{context}, rows_{params, context}, batches_{make_batches(params, rows_)} {}

    bool produce(Output& out) override {
        if (sent_ == 0) watch_.start();
        const std::uint64_t count = batches_->emit_batch(rows_, out);
        if (count == 0) return false;
        context_.count("records", count);
        records_ += count;
        ++sent_;
        return true;
    }

    void finish() override {
        rows_.finish();
        context_.log().info(
            fmt::format("Read {} records in {} ({})", records_, watch_.seconds_text(), watch_.rate_text(records_)),
            {{"batches", static_cast<std::int64_t>(sent_)},
             {"records", static_cast<std::int64_t>(records_)},
             {"seconds", watch_.seconds()}});
    }

private:
    StageContext& context_;
    GoodRows rows_;
    std::unique_ptr<CsvBatches> batches_;
    std::uint64_t sent_ = 0;
    std::uint64_t records_ = 0;
    Stopwatch watch_;
};

}  // namespace

void add_csv_source(Registry& registry) {
    registry.add<CsvSource>({
        .name = "csv_source",
        .help = "Reads CSV files (RFC 4180) as batches of text or as tensors of rows by columns; its instances share "
                "each file by byte ranges; locates and counts malformed records. \"columns\" in the metadata has the "
                "names of the columns, \"records\" the number of rows, \"byte\" where the first one begins.",
        .params = {{.name = "input",
                    .kind = ParamKind::string,
                    .help = "File to read, or a pattern like \"data/*.csv\"; a relative name lies in the directory in "
                            "which the run was started."},
                   {.name = "output",
                    .kind = ParamKind::string,
                    .help = "What a payload is: rows as text, parted by commas, or a tensor of rows by columns.",
                    .fallback = ParamValue{std::string{"text"}},
                    .choices = {"text", "numbers"}},
                   {.name = "header",
                    .kind = ParamKind::boolean,
                    .help = "Whether the first row has the names of the columns.",
                    .fallback = ParamValue{true}},
                   {.name = "columns",
                    .kind = ParamKind::list,
                    .help = "Names of the columns to keep, in that order; numbers from 1 without a header. Empty: all.",
                    .fallback = ParamValue{ParamValue::List{}}},
                   {.name = "types",
                    .kind = ParamKind::list,
                    .help = "For text, one of text, f64 or i64 for each column kept: a row with another field is "
                            "malformed. Empty: no check.",
                    .fallback = ParamValue{ParamValue::List{}}},
                   {.name = "dtype",
                    .kind = ParamKind::string,
                    .help = "Type of the numbers of a tensor.",
                    .fallback = ParamValue{std::string{"f64"}},
                    .choices = {"f64", "f32", "i64", "i32"}},
                   {.name = "empty",
                    .kind = ParamKind::string,
                    .help = "What an empty field is where a floating point number should be: malformed, or NaN.",
                    .fallback = ParamValue{std::string{"bad"}},
                    .choices = {"bad", "nan"}},
                   {.name = "batch_rows",
                    .kind = ParamKind::integer,
                    .help = "Most rows in a payload.",
                    .fallback = ParamValue{std::int64_t{4096}},
                    .minimum = 1,
                    .maximum = 100'000'000},
                   {.name = "batch_bytes",
                    .kind = ParamKind::size,
                    .help = "Most bytes in a payload of text; a longer row has one of its own.",
                    .fallback = ParamValue{std::int64_t{256 * 1024}},
                    .unit = "bytes",
                    .minimum = 1,
                    .maximum = 1e12},
                   {.name = "delimiter",
                    .kind = ParamKind::string,
                    .help = "The letter between fields, or \"tab\".",
                    .fallback = ParamValue{std::string{","}}},
                   {.name = "quote",
                    .kind = ParamKind::string,
                    .help =
                        "The letter around fields that hold delimiters or line ends. Empty: none, and instances need "
                        "not look for quotes before their part.",
                    .fallback = ParamValue{std::string{"\""}}},
                   {.name = "max_row",
                    .kind = ParamKind::size,
                    .help = "A longer row is malformed; it ends the search for a closing quote that is missing.",
                    .fallback = ParamValue{std::int64_t{16} << 20},
                    .unit = "bytes",
                    .minimum = 16,
                    .maximum = 1e9},
                   {.name = "on_bad",
                    .kind = ParamKind::string,
                    .help = "Whether malformed records are counted and left out, or fail the run.",
                    .fallback = ParamValue{std::string{"count"}},
                    .choices = {"count", "fail"}},
                   dead_letter_param("file, line, byte and reason")},
    });
}

}  // namespace penstock
