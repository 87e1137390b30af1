#include <algorithm>
#include <array>
#include <charconv>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include <fmt/format.h>
#include <strings.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "memory/metadata_entries.hpp"
#include "operators/builtins.hpp"
#include "operators/csv_rows.hpp"
#include "operators/json_text.hpp"
#include "operators/record_file.hpp"

namespace penstock {
namespace {

constexpr std::string_view counter_of_non_finite = "non_finite";

std::vector<std::string> names_in(std::string_view header) {
    CsvRows rows{{}};
    rows.begin_whole(header);
    std::vector<std::string> names;
    if (!rows.next()) return names;
    if (!rows.row().problem().empty()) {
        throw Error{Errc::invalid_input, fmt::format("the names of the columns are no row of CSV: {}: {}",
                                                     rows.row().problem(), in_quotes(header))};
    }
    std::string scratch;
    for (std::size_t i = 0; i < rows.row().size(); ++i) names.emplace_back(rows.row().field(i, scratch));
    return names;
}

/// Whether an unquoted field is one of the numbers that JSON does not have.
bool is_non_finite(std::string_view field) noexcept {
    if (!field.empty() && (field.front() == '-' || field.front() == '+')) field.remove_prefix(1);
    const auto is = [field](std::string_view word) {
        return field.size() == word.size() && strncasecmp(field.data(), word.data(), word.size()) == 0;
    };
    return is("nan") || is("inf") || is("infinity");
}

/// Objects as text. Counts the numbers that JSON does not have.
class JsonObjects {
public:
    explicit JsonObjects(std::size_t max_values) : max_values_{max_values} {}

    [[nodiscard]] std::string& text() noexcept { return text_; }
    [[nodiscard]] std::uint64_t non_finite() const noexcept { return non_finite_; }
    void clear() noexcept {
        text_.clear();
        non_finite_ = 0;
    }

    /// @param keys  For each field `"name": `, as JSON.
    void add_row(const CsvRow& row, const std::vector<std::string>& keys) {
        text_ += '{';
        for (std::size_t i = 0; i < row.size(); ++i) {
            if (i > 0) text_ += ", ";
            text_ += keys[i];
            add_field(row, i);
        }
        text_ += "}\n";
    }

    void add_payload(const Payload& payload) {
        text_ += fmt::format("{{\"source_rank\": {}, \"sequence\": {}, ", payload.id().instance, payload.id().sequence);
        if (const auto id = payload.user_id()) text_ += fmt::format("\"user_id\": {}, ", *id);
        text_ +=
            fmt::format("\"time_ns\": {}, \"dtype\": \"{}\", \"shape\": [{}], \"metadata\": {{",
                        payload.source_time_ns(), name_of(payload.dtype()), fmt::join(payload.shape().extents(), ", "));
        add_metadata(payload.metadata());
        text_ += "}, ";
        add_values(payload);
        text_ += "}\n";
    }

private:
    void add_field(const CsvRow& row, std::size_t index) {
        const std::string_view raw = row.raw(index);
        if (raw.empty()) {
            text_ += "null";
        } else if (raw.front() != '"' && is_json_number(raw)) {
            text_ += raw;
        } else if (raw.front() != '"' && is_non_finite(raw)) {
            text_ += "null";
            ++non_finite_;
        } else {
            append_json_string(text_, row.field(index, scratch_));
        }
    }

    void add_metadata(const MetadataView& metadata) {
        auto rest = metadata.encoded();
        bool is_first = true;
        while (const auto entry = next_metadata_entry(rest)) {
            if (!is_first) text_ += ", ";
            is_first = false;
            append_json_string(text_, entry->key);
            text_ += ": ";
            std::visit([this](const auto& value) { add_meta_value(value); }, entry->value);
        }
    }

    void add_meta_value(std::int64_t value) { text_ += std::to_string(value); }
    void add_meta_value(double value) { add_number(value); }
    void add_meta_value(bool value) { text_ += value ? "true" : "false"; }
    void add_meta_value(std::string_view value) { append_json_string(text_, value); }
    void add_meta_value(std::span<const std::byte> value) {
        text_ += '"';
        for (const std::byte byte : value) text_ += fmt::format("{:02x}", static_cast<unsigned>(byte));
        text_ += '"';
    }

    void add_values(const Payload& payload) {
        switch (payload.dtype()) {
            case DType::text:
                text_ += "\"value\": ";
                append_json_string(text_, payload.text());
                return;
            case DType::bytes: add_numbers(as_bytes(payload)); return;
            case DType::i8: add_numbers(payload.view<std::int8_t>()); return;
            case DType::u8: add_numbers(payload.view<std::uint8_t>()); return;
            case DType::i16: add_numbers(payload.view<std::int16_t>()); return;
            case DType::u16: add_numbers(payload.view<std::uint16_t>()); return;
            case DType::i32: add_numbers(payload.view<std::int32_t>()); return;
            case DType::u32: add_numbers(payload.view<std::uint32_t>()); return;
            case DType::i64: add_numbers(payload.view<std::int64_t>()); return;
            case DType::u64: add_numbers(payload.view<std::uint64_t>()); return;
            case DType::f32: add_numbers(payload.view<float>()); return;
            case DType::f64: add_numbers(payload.view<double>()); return;
        }
    }

    static std::span<const std::uint8_t> as_bytes(const Payload& payload) {
        const auto bytes = payload.bytes();
        return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
    }

    template <class T>
    void add_numbers(std::span<const T> numbers) {
        const std::size_t count = std::min(numbers.size(), max_values_);
        text_ += "\"values\": [";
        for (std::size_t i = 0; i < count; ++i) {
            if (i > 0) text_ += ", ";
            add_number(numbers[i]);
        }
        text_ += ']';
        if (count < numbers.size()) text_ += fmt::format(", \"values_left_out\": {}", numbers.size() - count);
    }

    template <class T>
    void add_number(T value) {
        if constexpr (std::is_floating_point_v<T>) {
            if (!append_json_number(text_, value)) ++non_finite_;
        } else {
            std::array<char, 24> digits;
            text_.append(digits.data(), std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr);
        }
    }

    std::size_t max_values_;
    std::string text_;
    std::string scratch_;
    std::uint64_t non_finite_ = 0;
};

class JsonlSink final : public Sink {
public:
    JsonlSink(const Params& params, StageContext& context)
        : context_{context},
          given_header_{params.get<std::string>("header")},
          file_{params, context},
          objects_{static_cast<std::size_t>(params.get<std::int64_t>("max_values"))} {
        set_header(given_header_);
    }

    void consume(const Payload& in) override {
        file_.begin_payload();
        objects_.clear();
        const bool is_csv = in.format() == Format::csv || (in.dtype() == DType::text && in.format() == Format::none);
        const std::uint64_t records = is_csv ? add_rows(in) : 1;
        if (!is_csv) objects_.add_payload(in);
        std::string& text = objects_.text();
        parts_ = {{text.data(), text.size()}};
        file_.append(parts_, records);
        if (objects_.non_finite() > 0) context_.count(counter_of_non_finite, objects_.non_finite());
    }

    void finish() override {
        file_.close();
        context_.log().info(fmt::format("Wrote {} objects in {} ({}) to {}", file_.records(),
                                        file_.watch().seconds_text(), file_.rate_text(), file_.path()),
                            {{"payloads", static_cast<std::int64_t>(file_.payloads())},
                             {"records", static_cast<std::int64_t>(file_.records())},
                             {"seconds", file_.watch().seconds()},
                             {"output", std::string_view{file_.path()}}});
    }

private:
    [[nodiscard]] std::uint64_t add_rows(const Payload& in) {
        if (given_header_.empty()) use_names_of(in);
        std::uint64_t records = 0;
        rows_.begin_whole(in.text());
        while (rows_.next()) {
            const CsvRow& row = rows_.row();
            if (!row.problem().empty()) {
                file_.malformed().add(in.id(), rows_.lines_before_row() + 1, row.text(), row.problem());
                continue;
            }
            while (keys_.size() < row.size()) add_key(fmt::format("field_{}", keys_.size() + 1));
            objects_.add_row(row, keys_);
            ++records;
        }
        return records;
    }

    void use_names_of(const Payload& in) {
        const std::string_view header = in.metadata().string("columns").value_or("");
        if (header != header_) set_header(header);
    }

    void set_header(std::string_view header) {
        header_ = header;
        keys_.clear();
        for (const std::string& name : names_in(header)) add_key(name);
        rows_ = CsvRows{{}, keys_.empty() ? any_number_of_fields : keys_.size()};
    }

    void add_key(std::string_view name) {
        std::string key;
        append_json_string(key, name);
        keys_.push_back(key + ": ");
    }

    StageContext& context_;
    std::string given_header_;
    RecordFile file_;
    JsonObjects objects_;
    std::string header_;
    std::vector<std::string> keys_;
    CsvRows rows_{{}};
    std::vector<iovec> parts_;
};

}  // namespace

void add_jsonl_sink(Registry& registry) {
    registry.add<JsonlSink>({
        .name = "jsonl_sink",
        .help =
            "Writes JSON lines, each payload before it is settled: an object for each record of CSV text, with "
            "numbers, "
            "strings, and null for empty fields; for any other payload one with its id, shape, metadata and values. "
            "Numbers that are not finite become null and are counted as \"non_finite\".",
        .params = record_file_params(
            "results.jsonl",
            {{.name = "header",
              .kind = ParamKind::string,
              .help = "Names of the fields of records, parted by commas; a record with another number of fields is "
                      "malformed. Empty: those that \"csv_source\" sends along, or else field_1, field_2, ...",
              .fallback = ParamValue{std::string{}}},
             {.name = "max_values",
              .kind = ParamKind::integer,
              .help = "Most values of a payload to write; \"values_left_out\" tells how many more there were.",
              .fallback = ParamValue{std::int64_t{4096}},
              .minimum = 0,
              .maximum = 1e9}}),
    });
}

}  // namespace penstock
