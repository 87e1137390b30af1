#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/hdf5/info.hpp"
#include "operators/hdf5/joined_file.hpp"
#include "operators/hdf5/result_file.hpp"
#include "operators/hdf5/types.hpp"
#include "operators/hdf5/writer.hpp"
#include "operators/malformed.hpp"
#include "operators/pacer.hpp"

namespace penstock {
namespace {

using namespace hdf5;

Layout layout_param(const Params& params) {
    const auto text = params.get<std::string>("layout");
    return text == "append" ? Layout::append : (text == "separate" ? Layout::separate : Layout::stack);
}

Compression compression_param(const Params& params) {
    const auto text = params.get<std::string>("compression");
    return text == "gzip" ? Compression::gzip
                          : (text == "shuffle_gzip" ? Compression::shuffle_gzip : Compression::none);
}

std::string dataset_param(const Params& params) {
    auto name = params.get<std::string>("dataset");
    if (name.empty() || name == "." || name.find('/') != std::string::npos || name.find('\0') != std::string::npos) {
        throw Error{Errc::invalid_input,
                    "parameter \"dataset\" must be a name without slashes, not " + in_quotes(name)};
    }
    return name;
}

ResultSettings settings_of(const Params& params, const StageContext& context) {
    return {.path = context.result_path(params.get<std::string>("output")),
            .dataset = dataset_param(params),
            .layout = layout_param(params),
            .storage = {.chunk_bytes = static_cast<std::uint64_t>(params.get<std::int64_t>("chunk")),
                        .compression = compression_param(params),
                        .level = static_cast<unsigned>(params.get<std::int64_t>("level"))},
            .table = params.get<bool>("metadata")};
}

/// What all payloads of a dataset have in common.
class Form {
public:
    explicit Form(Layout layout) : layout_{layout} {}

    /// Why a payload cannot be written; empty if it can. The first one that can sets the form.
    [[nodiscard]] std::string problem_of(const Payload& payload) {
        const DType dtype = payload.dtype();
        const Shape shape = payload.shape();
        if (layout_ != Layout::append && dtype == DType::text && payload.text().find('\0') != std::string_view::npos)
            return "it has a NUL byte, which ends a text in HDF5; use layout \"append\"";
        if (layout_ == Layout::separate) return {};
        const bool one_text = layout_ == Layout::stack && dtype == DType::text;
        if (!one_text && row_bytes(payload) > max_chunk_bytes)
            return "a row of it is larger than 4 GiB; use smaller rows, or layout \"separate\"";
        if (!dtype_) {
            dtype_ = dtype;
            shape_ = shape;
            return {};
        }
        if (dtype != *dtype_ || !(one_text || fits(shape)))
            return fmt::format("it is {}, not {} as the first one", describe(dtype, shape), describe(*dtype_, shape_));
        return {};
    }

private:
    [[nodiscard]] std::uint64_t row_bytes(const Payload& payload) const {
        const std::uint64_t rows = layout_ == Layout::append && payload.shape().dims() > 0 ? payload.shape()[0] : 1;
        return rows == 0 ? 0 : payload.size_bytes() / rows;
    }
    [[nodiscard]] bool fits(const Shape& shape) const {
        if (layout_ == Layout::stack) return shape == shape_;
        const auto a = shape.extents();
        const auto b = shape_.extents();
        return a.size() == b.size() &&
               std::equal(a.begin() + (a.empty() ? 0 : 1), a.end(), b.begin() + (b.empty() ? 0 : 1));
    }

    Layout layout_;
    std::optional<DType> dtype_;
    Shape shape_;
};

class Hdf5Sink final : public Sink {
public:
    Hdf5Sink(const Params& params, StageContext& context)
        : context_{context},
          settings_{settings_of(params, context)},
          origin_{std::string{context.stage()}, context.instance(), context.instances(), context.provenance()},
          form_{settings_.layout},
          malformed_{context, params},
          writer_{[this] { return std::make_unique<ResultFile>(settings_, origin_); },
                  {.buffer_bytes = static_cast<std::uint64_t>(params.get<std::int64_t>("buffer")),
                   .flush = std::chrono::duration_cast<std::chrono::milliseconds>(duration_param(params, "flush"))}} {}

    void consume(const Payload& in) override {
        if (const std::string problem = form_.problem_of(in); !problem.empty()) return malformed_.add(in, problem);
        writer_.put(in);
        ++payloads_;
        bytes_ += in.size_bytes();
        context_.count("payloads", 1);
    }

    void finish() override {
        writer_.finish();
        malformed_.report();
        context_.log().info(fmt::format("Wrote {} payloads, {} bytes, to {}", payloads_, bytes_, settings_.path),
                            {{"payloads", static_cast<std::int64_t>(payloads_)},
                             {"bytes", static_cast<std::int64_t>(bytes_)},
                             {"output", std::string_view{settings_.path}}});
        if (origin_.instances > 1) join_parts();
    }

private:
    void join_parts() {
        const auto files = stage_files(settings_.path, origin_.instance, origin_.instances);
        if (!files) return;
        std::string why;
        switch (join(*files, settings_, origin_, why)) {
            case Joined::yes: context_.log().info("Joined the files of all instances in " + files->joined); return;
            case Joined::no: context_.log().warn("The files of the instances are not joined: " + why); return;
            case Joined::not_yet: return;  // one of the others is last
        }
    }

    StageContext& context_;
    ResultSettings settings_;
    Origin origin_;
    Form form_;
    MalformedRecords malformed_;
    std::uint64_t payloads_ = 0;
    std::uint64_t bytes_ = 0;
    Writer writer_;
};

}  // namespace

void add_hdf5_sink(Registry& registry) {
    registry.add<Hdf5Sink>(sink_info());
}

}  // namespace penstock
