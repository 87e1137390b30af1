#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "operators/builtins.hpp"
#include "operators/malformed.hpp"
#include "operators/progress.hpp"
#include "operators/row_file.hpp"

namespace penstock {
namespace {

class FileSink final : public Sink {
public:
    FileSink(const Params& params, StageContext& context)
        : context_{context},
          ordered_{params.get<bool>("ordered")},
          record_bytes_{static_cast<std::uint64_t>(params.get<std::int64_t>("record"))},
          file_{context.result_path(params.get<std::string>("output")), "output",
                ordered_ ? RowOrder::placed : RowOrder::appended},
          malformed_{context} {}

    void consume(const Payload& in) override {
        if (payloads_++ == 0) watch_.start();
        const auto blob = in.bytes();
        if (ordered_) {
            const auto place = place_of(in);
            if (!place) return;
            file_.write_at(*place, blob);
        } else {
            parts_ = {{const_cast<std::byte*>(blob.data()), blob.size()}};  // writev only reads
            file_.append(parts_);
        }
        bytes_ += blob.size();
    }

    void finish() override {
        file_.close();
        malformed_.report();
        context_.log().info(fmt::format("Wrote {} bytes of {} payloads in {} to {}", bytes_, payloads_,
                                        watch_.seconds_text(), file_.path()),
                            {{"payloads", static_cast<std::int64_t>(payloads_)},
                             {"bytes", static_cast<std::int64_t>(bytes_)},
                             {"seconds", watch_.seconds()},
                             {"output", std::string_view{file_.path()}}});
    }

private:
    /// Where the payload belongs; nothing if that cannot be known.
    [[nodiscard]] std::optional<std::uint64_t> place_of(const Payload& in) {
        constexpr std::uint64_t most = std::uint64_t{1} << 62U;
        if (const auto byte = in.metadata().integer("byte"); byte && *byte >= 0)
            return static_cast<std::uint64_t>(*byte);
        const auto id = in.user_id();
        if (record_bytes_ == 0) record_bytes_ = in.size_bytes();
        const char* problem = nullptr;
        if (!id) {
            problem = "it has neither a user id nor \"byte\" in its metadata, which an ordered file needs";
        } else if (in.size_bytes() > record_bytes_) {
            problem = "it is larger than a record";
        } else if (record_bytes_ > 0 && *id > most / record_bytes_) {
            problem = "its user id is too large for a file";
        }
        if (problem == nullptr) return *id * record_bytes_;
        malformed_.add(in.id(), 0, "", problem);
        return std::nullopt;
    }

    StageContext& context_;
    bool ordered_;
    std::uint64_t record_bytes_;
    RowFile file_;
    MalformedRecords malformed_;
    std::vector<iovec> parts_;
    std::uint64_t payloads_ = 0;
    std::uint64_t bytes_ = 0;
    Stopwatch watch_;
};

}  // namespace

void add_file_sink(Registry& registry) {
    registry.add<FileSink>({
        .name = "file_sink",
        .help =
            "Writes the bytes of any payload to a file, before it is settled: one after the other as they arrive, or "
            "each at its place.",
        .params = {{.name = "output",
                    .kind = ParamKind::string,
                    .help = "File to write; a relative name lies in the run directory's results.",
                    .fallback = ParamValue{std::string{"results.bin"}}},
                   {.name = "ordered",
                    .kind = ParamKind::boolean,
                    .help =
                        "Whether a payload goes to its place: that of \"byte\" in its metadata, which \"file_source\" "
                        "sets, or else its user id times the size of a record.",
                    .fallback = ParamValue{false}},
                   {.name = "record",
                    .kind = ParamKind::size,
                    .help = "Size of a record of an ordered file; 0 is that of the first payload.",
                    .fallback = ParamValue{std::int64_t{0}},
                    .unit = "bytes",
                    .minimum = 0,
                    .maximum = 1e12}},
    });
}

}  // namespace penstock
