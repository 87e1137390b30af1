#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/csv_rows.hpp"
#include "operators/delimiters.hpp"
#include "operators/progress.hpp"
#include "operators/record_file.hpp"

namespace penstock {
namespace {

iovec part(std::string_view text) noexcept {
    return {const_cast<char*>(text.data()), text.size()};  // writev only reads
}

/// How many names there are.
std::size_t fields_of(std::string_view header) {
    CsvRows rows{{}};
    rows.begin_whole(header);
    if (!rows.next()) return 0;
    if (!rows.row().problem().empty()) {
        throw Error{Errc::invalid_input,
                    fmt::format("\"header\" is no row of CSV: {}: {}", rows.row().problem(), in_quotes(header))};
    }
    return rows.row().size();
}

class CsvSink final : public Sink {
public:
    CsvSink(const Params& params, StageContext& context)
        : context_{context},
          header_{params.get<std::string>("header")},
          fields_{fields_of(header_)},
          file_{params, context},
          quoted_rows_{{}, header_.empty() ? any_number_of_fields : fields_} {
        if (header_.empty()) return;
        parts_ = {part(header_), part("\n")};
        file_.append_line(parts_);
    }

    void consume(const Payload& in) override {
        file_.begin_payload();
        const auto content = file_.malformed().text_of(in);
        if (!content) return;
        const std::string_view text = *content;
        // Most text has no quotes, and then a count of its commas will do.
        const bool is_quoted = text.find('"') != std::string_view::npos;
        const Scan scan = is_quoted ? scan_quoted(text) : scan_records(text);
        if (scan.malformed == 0) {
            parts_ = {part(text)};
            if (!text.empty() && text.back() != '\n') parts_.push_back(part("\n"));
        } else if (is_quoted) {
            collect_well_formed_quoted(in.id(), text);
        } else {
            collect_well_formed(in.id(), text);
        }
        file_.append(parts_, scan.records);
        if (is_milestone(file_.payloads())) log_progress();
    }

    void finish() override {
        file_.close();
        log_summary();
    }

private:
    struct Scan {
        std::uint64_t records = 0;
        std::uint64_t malformed = 0;
    };

    /// Without a header any number of fields will do.
    [[nodiscard]] bool is_well_formed(const Line& line) const noexcept {
        return header_.empty() || line.commas + 1 == fields_;
    }

    [[nodiscard]] Scan scan_quoted(std::string_view text) {
        Scan scan;
        quoted_rows_.begin_whole(text);
        while (quoted_rows_.next()) ++(quoted_rows_.row().problem().empty() ? scan.records : scan.malformed);
        return scan;
    }

    [[nodiscard]] Scan scan_records(std::string_view text) const noexcept {
        Scan scan;
        for_each_line(text, [&](const Line& line) { ++(is_well_formed(line) ? scan.records : scan.malformed); });
        return scan;
    }

    /// Sets the parts to the text without its malformed records.
    void collect_well_formed(PayloadId id, std::string_view text) {
        parts_.clear();
        for_each_line(text, [&](const Line& line) {
            const std::string_view record = text.substr(line.begin, line.end - line.begin);
            if (is_well_formed(line)) {
                parts_.push_back(part(record));
                parts_.push_back(part("\n"));
            } else {
                file_.malformed().add(id, line.number, record, fmt::format("it has not {} fields", fields_));
            }
        });
    }

    void collect_well_formed_quoted(PayloadId id, std::string_view text) {
        parts_.clear();
        quoted_rows_.begin_whole(text);
        while (quoted_rows_.next()) {
            const CsvRow& row = quoted_rows_.row();
            if (row.problem().empty()) {
                parts_.push_back(part(row.text()));
                parts_.push_back(part("\n"));
            } else {
                file_.malformed().add(id, quoted_rows_.lines_before_row() + 1, row.text(), row.problem());
            }
        }
    }

    void log_progress() {
        context_.log().info(
            fmt::format("Received {} batches, {} records ({})", file_.payloads(), file_.records(), file_.rate_text()),
            {{"batches", static_cast<std::int64_t>(file_.payloads())},
             {"records", static_cast<std::int64_t>(file_.records())},
             {"seconds", file_.watch().seconds()}});
    }

    void log_summary() {
        Logger& log = context_.log();
        log.info("Consumer finished:", {{"batches", static_cast<std::int64_t>(file_.payloads())},
                                        {"records", static_cast<std::int64_t>(file_.records())},
                                        {"seconds", file_.watch().seconds()},
                                        {"output", std::string_view{file_.path()}}});
        log.info(fmt::format("  Total batches: {}", file_.payloads()));
        log.info(fmt::format("  Total records: {}", file_.records()));
        log.info("  Duration: " + file_.watch().seconds_text());
        log.info("  Rate: " + file_.rate_text());
        log.info("  Output: " + file_.path());
    }

    StageContext& context_;
    std::string header_;
    std::size_t fields_;
    RecordFile file_;
    CsvRows quoted_rows_;
    std::vector<iovec> parts_;
};

}  // namespace

void add_csv_sink(Registry& registry) {
    registry.add<CsvSink>({
        .name = "csv_sink",
        .help = "Writes text records to a file, each payload before it is settled; drops and counts records that have "
                "another number of fields than the header.",
        .input = "text/csv",
        .params = record_file_params(
            "results.csv",
            {{.name = "header",
              .kind = ParamKind::string,
              .help = "First line; its commas say how many fields a record has. Empty: no header and no check.",
              .fallback = ParamValue{std::string{"record_id,value,timestamp"}}}}),
    });
}

}  // namespace penstock
