#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "base/quote.hpp"
#include "operators/builtins.hpp"
#include "operators/hdf5/form.hpp"
#include "operators/hdf5/info.hpp"
#include "operators/hdf5/joined_file.hpp"
#include "operators/hdf5/result_file.hpp"
#include "operators/hdf5/shared_writer.hpp"
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

Origin origin_of(const StageContext& context) {
    return {std::string{context.stage()}, context.instance(), context.instances(), context.provenance()};
}

std::uint64_t buffer_param(const Params& params) {
    return static_cast<std::uint64_t>(params.get<std::int64_t>("buffer"));
}

std::chrono::milliseconds flush_param(const Params& params) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(duration_param(params, "flush"));
}

void log_end(Logger& log, const std::string& path, std::uint64_t payloads, std::uint64_t bytes) {
    log.info(fmt::format("Wrote {} payloads, {} bytes, to {}", payloads, bytes, path),
             {{"payloads", static_cast<std::int64_t>(payloads)},
              {"bytes", static_cast<std::int64_t>(bytes)},
              {"output", std::string_view{path}}});
}

/// Each instance writes a file of its own.
class Hdf5Sink final : public Sink {
public:
    Hdf5Sink(const Params& params, StageContext& context)
        : context_{context},
          settings_{settings_of(params, context)},
          origin_{origin_of(context)},
          form_{settings_.layout},
          malformed_{context, params},
          writer_{[this] { return std::make_unique<ResultFile>(settings_, origin_); },
                  {.buffer_bytes = buffer_param(params), .flush = flush_param(params)}} {}

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
        log_end(context_.log(), settings_.path, payloads_, bytes_);
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

/// All instances write one file.
class SharedHdf5Sink final : public Sink {
public:
    SharedHdf5Sink(const Params& params, StageContext& context)
        : context_{context}, settings_{settings_of(params, context)}, malformed_{context, params} {
        const Origin origin = origin_of(context);
        // One name for all: without the number of the instance.
        const std::filesystem::path output{params.get<std::string>("output")};
        settings_.path = std::filesystem::path{settings_.path}.replace_filename(output.filename()).string();
        writer_ = make_shared_writer(settings_, origin, context, malformed_,
                                     {.buffer_bytes = buffer_param(params), .flush = flush_param(params)});
    }

    void consume(const Payload& in) override { writer_->put(in); }
    void tick() override { writer_->tick(); }
    void finish() override {
        writer_->finish();
        malformed_.report();
        log_end(context_.log(), settings_.path, writer_->payloads(), writer_->bytes());
    }

private:
    StageContext& context_;
    ResultSettings settings_;
    MalformedRecords malformed_;
    std::unique_ptr<SharedWriter> writer_;
};

}  // namespace

void add_hdf5_sink(Registry& registry) {
    OperatorInfo info = sink_info();
    info.kind = OperatorKind::sink;
    registry.add(std::move(info), [](const Params& params, StageContext& context) -> Operator {
        if (params.get<bool>("shared")) return std::make_unique<SharedHdf5Sink>(params, context);
        return std::make_unique<Hdf5Sink>(params, context);
    });
}

}  // namespace penstock
