#include "kernels/histogram.hpp"

#include <cstring>
#include <optional>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class HistogramProcessor final : public Processor {
public:
    HistogramProcessor(const Params& params, StageContext& context)
        : histogram_{static_cast<std::size_t>(params.get<std::int64_t>("bins")), params.get<double>("low"),
                     params.get<double>("high")},
          accumulate_{params.get<bool>("accumulate")},
          csv_{params.get<std::string>("emit") == "csv"},
          context_{context},
          malformed_{context, params} {
        if (!(params.get<double>("low") < params.get<double>("high"))) {
            throw Error{Errc::invalid_input, "\"low\" must be less than \"high\"; they are the ends of the bins"};
        }
    }

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&](auto x) {
            histogram_.add(x);
            ++payloads_;
            if (accumulate_) return;
            emit_like(in, draft(out), out, malformed_);
            start_again();
        });
    }

    void finish(Output& out) override {
        malformed_.report();
        if (accumulate_) out.emit(draft(out));
    }

private:
    [[nodiscard]] RawDraft draft(Output& out) {
        const std::uint64_t non_finite = histogram_.non_finite();
        if (non_finite > 0) context_.count("non_finite", non_finite);
        RawDraft made = csv_ ? lines(out) : counts(out);
        made.set("low", histogram_.lower_edge(0));
        made.set("high", histogram_.lower_edge(histogram_.bins()));
        made.set("below", histogram_.below());
        made.set("above", histogram_.above());
        made.set("non_finite", non_finite);
        made.set("payloads", payloads_);
        return made;
    }

    [[nodiscard]] RawDraft counts(Output& out) const {
        auto counts = out.draft<std::uint64_t>(histogram_.bins());
        for (std::size_t bin = 0; bin < counts.size(); ++bin) counts[bin] = histogram_.in_bin(bin);
        return counts;
    }

    [[nodiscard]] RawDraft lines(Output& out) const {
        const double low = histogram_.lower_edge(0);
        const double high = histogram_.lower_edge(histogram_.bins());
        std::string text = fmt::format("-inf,{},{}", low, histogram_.below());
        for (std::size_t bin = 0; bin < histogram_.bins(); ++bin) {
            fmt::format_to(std::back_inserter(text), "\n{},{},{}", histogram_.lower_edge(bin),
                           histogram_.lower_edge(bin + 1), histogram_.in_bin(bin));
        }
        fmt::format_to(std::back_inserter(text), "\n{},inf,{}", high, histogram_.above());
        auto draft = out.draft<char>(text.size());
        std::memcpy(draft.data(), text.data(), text.size());
        draft.set_format(Format::csv);
        return draft;
    }

    void start_again() {
        histogram_.clear();
        payloads_ = 0;
    }

    Histogram histogram_;
    bool accumulate_;
    bool csv_;
    StageContext& context_;
    MalformedRecords malformed_;
    std::uint64_t payloads_ = 0;
};

}  // namespace

void add_histogram(Registry& registry) {
    registry.add<HistogramProcessor>({
        .name = "histogram",
        .help =
            "Counts elements in bins of equal width, the last of which includes the upper end. Elements below, above "
            "and not finite are counted in the metadata.",
        .input = "numbers",
        .output = "u64 or text/csv",
        .params = {{.name = "bins",
                    .kind = ParamKind::integer,
                    .help = "How many.",
                    .fallback = ParamValue{std::int64_t{256}},
                    .minimum = 1,
                    .maximum = 16'777'216},
                   {.name = "low", .kind = ParamKind::number, .help = "Lower end of the first bin."},
                   {.name = "high", .kind = ParamKind::number, .help = "Upper end of the last bin."},
                   {.name = "accumulate",
                    .kind = ParamKind::boolean,
                    .help = "Whether one histogram of all payloads is emitted at the end, instead of one for each.",
                    .fallback = ParamValue{false}},
                   {.name = "emit",
                    .kind = ParamKind::string,
                    .help = "The counts as u64, or lines \"low,high,count\", from -inf to inf.",
                    .fallback = ParamValue{std::string{"counts"}},
                    .choices = {"counts", "csv"}},
                   strict_param()},
    });
}

}  // namespace penstock
