#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/delimiters.hpp"
#include "operators/malformed.hpp"
#include "operators/progress.hpp"
#include "operators/row_file.hpp"

namespace penstock {
namespace {

iovec part(std::string_view text) noexcept {
    return {const_cast<char*>(text.data()), text.size()};  // writev only reads
}

class CsvSink final : public Sink {
public:
    CsvSink(const Params& params, StageContext& context)
        : context_{context},
          header_{params.get<std::string>("header")},
          commas_{static_cast<std::size_t>(std::count(header_.begin(), header_.end(), ','))},
          file_{context.result_path(params.get<std::string>("output"))},
          malformed_{context} {
        if (header_.empty()) return;
        parts_ = {part(header_), part("\n")};
        file_.append(parts_);
    }

    void consume(const Payload& in) override {
        if (batches_ == 0) watch_.start();
        const auto content = malformed_.text_of(in);
        if (!content) return;
        const std::string_view text = *content;
        const Scan scan = scan_records(text);
        if (scan.malformed == 0) {
            parts_ = {part(text)};
            if (!text.empty() && text.back() != '\n') parts_.push_back(part("\n"));
        } else {
            collect_well_formed(in.id(), text);
        }
        file_.append(parts_);
        ++batches_;
        records_ += scan.records;
        context_.count("records", scan.records);
        if (is_milestone(batches_)) log_progress();
    }

    void finish() override {
        file_.close();
        malformed_.report();
        log_summary();
    }

private:
    struct Scan {
        std::uint64_t records = 0;
        std::uint64_t malformed = 0;
    };

    /// Without a header any number of fields will do.
    [[nodiscard]] bool is_well_formed(const Line& line) const noexcept {
        return header_.empty() || line.commas == commas_;
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
                malformed_.add(id, line.number, record, fmt::format("it has not {} fields", commas_ + 1));
            }
        });
    }

    void log_progress() {
        context_.log().info(
            fmt::format("Received {} batches, {} records ({})", batches_, records_, watch_.rate_text(records_)),
            {{"batches", static_cast<std::int64_t>(batches_)},
             {"records", static_cast<std::int64_t>(records_)},
             {"seconds", watch_.seconds()}});
    }

    void log_summary() {
        Logger& log = context_.log();
        log.info("Consumer finished:", {{"batches", static_cast<std::int64_t>(batches_)},
                                        {"records", static_cast<std::int64_t>(records_)},
                                        {"seconds", watch_.seconds()},
                                        {"output", std::string_view{file_.path()}}});
        log.info(fmt::format("  Total batches: {}", batches_));
        log.info(fmt::format("  Total records: {}", records_));
        log.info("  Duration: " + watch_.seconds_text());
        log.info("  Rate: " + watch_.rate_text(records_));
        log.info("  Output: " + file_.path());
    }

    StageContext& context_;
    std::string header_;
    std::size_t commas_;
    RowFile file_;
    MalformedRecords malformed_;
    std::vector<iovec> parts_;
    std::uint64_t batches_ = 0;
    std::uint64_t records_ = 0;
    Stopwatch watch_;
};

}  // namespace

void add_csv_sink(Registry& registry) {
    registry.add<CsvSink>({
        .name = "csv_sink",
        .help = "Writes text records to a file, each payload before it is settled; drops and counts records that have "
                "another number of fields than the header.",
        .input = "text/csv",
        .params = {{.name = "output",
                    .kind = ParamKind::string,
                    .help = "File to write; a relative name lies in the run directory's results.",
                    .fallback = ParamValue{std::string{"results.csv"}}},
                   {.name = "header",
                    .kind = ParamKind::string,
                    .help = "First line; its commas say how many fields a record has. Empty: no header and no check.",
                    .fallback = ParamValue{std::string{"record_id,value,timestamp"}}}},
    });
}

}  // namespace penstock
