#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/output_channel.hpp"

namespace penstock {
namespace {

class Tee final : public Processor {
public:
    Tee(const Params& params, StageContext& context)
        : context_{context},
          sample_{output_channel_param(params, "channel", context)},
          every_{static_cast<std::uint64_t>(params.get<std::int64_t>("every"))} {
        for (const auto& end : context.outputs()) {
            if (end.name != sample_) rest_.push_back(end.name);
        }
    }

    void process(const Payload& in, Output& out) override {
        if (sample_.empty()) {
            out.emit(in);
        } else {
            for (const auto& channel : rest_) out.emit(channel, in);
        }
        bytes_ += in.size_bytes();
        if (payloads_++ % every_ != 0) return;
        context_.count("sampled", 1);
        if (sample_.empty()) {
            log(in);
        } else {
            out.emit(sample_, in);
        }
    }

    void finish(Output&) override {
        context_.log().info(
            fmt::format("Passed on {} payloads, {} bytes", payloads_, bytes_),
            {{"payloads", static_cast<std::int64_t>(payloads_)}, {"bytes", static_cast<std::int64_t>(bytes_)}});
    }

private:
    void log(const Payload& in) {
        const PayloadId id = in.id();
        const Shape shape = in.shape();
        context_.log().info(fmt::format("Payload {} of rank {}: {} [{}], {} bytes, {} bytes of metadata", id.sequence,
                                        id.instance, name_of(in.dtype()), fmt::join(shape.extents(), " x "),
                                        in.size_bytes(), in.metadata().encoded().size()),
                            {{"payload", static_cast<std::int64_t>(id.sequence)},
                             {"source_rank", static_cast<std::int64_t>(id.instance)},
                             {"bytes", static_cast<std::int64_t>(in.size_bytes())}});
    }

    StageContext& context_;
    std::string sample_;
    std::vector<std::string> rest_;
    std::uint64_t every_;
    std::uint64_t payloads_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace

void add_tee(Registry& registry) {
    registry.add<Tee>({
        .name = "tee",
        .help = "Hands each payload on by reference, and every so many-th to one more channel, or into the log.",
        .params = {{.name = "channel",
                    .kind = ParamKind::string,
                    .help = "Output channel for the samples; the others get all payloads. Empty: a line in the log for "
                            "each sample.",
                    .fallback = ParamValue{std::string{}}},
                   {.name = "every",
                    .kind = ParamKind::integer,
                    .help = "One of so many payloads is a sample, beginning with the first.",
                    .fallback = ParamValue{std::int64_t{100}},
                    .minimum = 1}},
    });
}

}  // namespace penstock
