#include "kernels/threshold.hpp"

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class Threshold final : public Processor {
public:
    Threshold(const Params& params, StageContext& context)
        : level_{params.get<double>("level")},
          mode_{params.get<std::string>("mode")},
          least_hits_{static_cast<std::uint64_t>(params.get<std::int64_t>("least_hits"))},
          context_{context},
          malformed_{context, params} {}

    void process(const Payload& in, Output& out) override {
        with_numbers(in, malformed_, [&](auto x) {
            if (mode_ == "suppress") {
                suppress(in, x, out);
            } else if (mode_ == "mask") {
                mask(in, x, out);
            } else if (mode_ == "list") {
                list(in, x, out);
            } else if (is_enough(count_hits(x, level_))) {
                out.emit(in);
            }
        });
    }

    void finish(Output&) override { malformed_.report(); }

private:
    /// Counts the hits, and the payload if it has too few.
    [[nodiscard]] bool is_enough(std::uint64_t hits) {
        context_.count("hits", hits);
        if (hits >= least_hits_) return true;
        context_.count("rejected", 1);
        return false;
    }

    void emit(const Payload& in, RawDraft draft, std::uint64_t hits, Output& out) {
        draft.set("hits", hits);
        emit_like(in, std::move(draft), out, malformed_);
    }

    template <class T>
    void suppress(const Payload& in, std::span<const T> x, Output& out) {
        auto y = out.draft<T>(in.shape());
        const std::uint64_t hits = suppress_zeros(x, std::span{y.data(), y.size()}, level_);
        if (is_enough(hits)) emit(in, std::move(y), hits, out);
    }

    template <class T>
    void mask(const Payload& in, std::span<const T> x, Output& out) {
        auto y = out.draft<std::uint8_t>(in.shape());
        const std::uint64_t hits = mask_hits(x, {y.data(), y.size()}, level_);
        if (is_enough(hits)) emit(in, std::move(y), hits, out);
    }

    template <class T>
    void list(const Payload& in, std::span<const T> x, Output& out) {
        const std::uint64_t hits = count_hits(x, level_);
        if (!is_enough(hits)) return;
        auto y = out.draft<double>(Shape{hits, 2});
        double* at = y.data();
        for (std::size_t i = 0; i < x.size() && at != y.end(); ++i) {
            const auto value = static_cast<double>(x[i]);
            if (!(value >= level_)) continue;
            *at++ = static_cast<double>(i);
            *at++ = value;
        }
        emit(in, std::move(y), hits, out);
    }

    double level_;
    std::string mode_;
    std::uint64_t least_hits_;
    StageContext& context_;
    MalformedRecords malformed_;
};

}  // namespace

void add_threshold(Registry& registry) {
    registry.add<Threshold>({
        .name = "threshold",
        .help =
            "Finds the elements that reach a level, counts them as hits, and drops payloads that have too few, counted "
            "as rejected. NaN is no hit.",
        .input = "numbers",
        .params = {{.name = "level", .kind = ParamKind::number, .help = "The smallest value that is a hit."},
                   {.name = "mode",
                    .kind = ParamKind::string,
                    .help = "Sets what is no hit to 0; makes a mask of u8, 1 for a hit; lists the hits as rows of f64, "
                            "place in row-major order and value; or hands on the payload as it is.",
                    .fallback = ParamValue{std::string{"suppress"}},
                    .choices = {"suppress", "mask", "list", "select"}},
                   {.name = "least_hits",
                    .kind = ParamKind::integer,
                    .help = "A payload with fewer is dropped.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .minimum = 0},
                   strict_param()},
    });
}

}  // namespace penstock
