#include <cstring>
#include <string_view>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/delimiters.hpp"
#include "operators/malformed.hpp"
#include "operators/number_text.hpp"
#include "operators/progress.hpp"

namespace penstock {
namespace {

char* append(char* out, std::string_view text) noexcept {
    std::memcpy(out, text.data(), text.size());
    return out + text.size();
}

class ScaleRecords final : public Processor {
public:
    ScaleRecords(const Params& params, StageContext& context)
        : context_{context}, factor_{params.get<double>("factor")}, malformed_{context} {}

    void process(const Payload& in, Output& out) override {
        ++batches_;
        if (is_milestone(batches_)) log("Received", "batches from upstream");
        const auto content = malformed_.text_of(in);
        if (!content) return;
        const std::string_view text = *content;
        auto draft = out.draft<char>(text.size() + count_lines(text) * max_number_text);
        const Written written = scale(in.id(), text, draft.data());
        draft.shrink(written.size_bytes);
        draft.set_format(Format::csv);
        draft.set("records", written.records);
        if (const auto batch = in.metadata().integer("batch")) draft.set("batch", *batch);
        out.emit(std::move(draft));
        context_.count("records", written.records);
        if (is_milestone(batches_)) log("Processed and forwarded", "batches");
    }

    void finish(Output&) override {
        malformed_.report();
        log("Finished processing", "batches");
    }

private:
    struct Written {
        std::size_t size_bytes = 0;
        std::uint64_t records = 0;
    };

    /// REQUIRES: `out` has room for the text and `max_number_text` more a line.
    Written scale(PayloadId id, std::string_view text, char* out) {
        char* at = out;
        std::uint64_t records = 0;
        for_each_line(text, [&](const Line& line) {
            if (line.commas != 2) {
                reject(id, text, line, "it has not 3 fields");
                return;
            }
            const auto value = parse_number(text.substr(line.comma[0] + 1, line.comma[1] - line.comma[0] - 1));
            if (!value) {
                reject(id, text, line, "its value is no number");
                return;
            }
            at = append(at, text.substr(line.begin, line.comma[0] + 1 - line.begin));
            at = write_number(at, *value * factor_);
            at = append(at, text.substr(line.comma[1], line.end - line.comma[1]));
            *at++ = '\n';
            ++records;
        });
        // Lines are joined: none after the last one.
        return {static_cast<std::size_t>(at - out) - (records > 0 ? 1 : 0), records};
    }

    void reject(PayloadId id, std::string_view text, const Line& line, std::string_view reason) {
        malformed_.add(id, line.number, text.substr(line.begin, line.end - line.begin), reason);
    }

    void log(std::string_view what, std::string_view things) {
        context_.log().info(fmt::format("{} {} {}", what, batches_, things),
                            {{"batches", static_cast<std::int64_t>(batches_)}});
    }

    StageContext& context_;
    double factor_;
    MalformedRecords malformed_;
    std::uint64_t batches_ = 0;
};

}  // namespace

void add_scale_records(Registry& registry) {
    registry.add<ScaleRecords>({
        .name = "scale_records",
        .help =
            "Multiplies the value of each record \"record_id,value,timestamp\"; drops and counts malformed records.",
        .input = "text/csv",
        .output = "text/csv",
        .params = {{.name = "factor",
                    .kind = ParamKind::number,
                    .help = "What each value is multiplied by.",
                    .fallback = ParamValue{2.0}}},
    });
}

}  // namespace penstock
