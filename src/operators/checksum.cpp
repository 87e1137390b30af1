#include <cstring>

#include <fmt/format.h>

#include <penstock/operator.hpp>

#include "kernels/crc32c.hpp"
#include "operators/builtins.hpp"
#include "operators/elements.hpp"

namespace penstock {
namespace {

class Checksum final : public Processor {
public:
    Checksum(const Params& params, StageContext& context)
        : is_check_{params.get<std::string>("mode") == "verify"},
          key_{params.get<std::string>("key")},
          context_{context},
          malformed_{context, params} {
        if (key_.empty() || key_.size() > 255) {
            throw Error{Errc::invalid_input, "\"key\" must have 1 to 255 bytes; it names the checksum in the metadata"};
        }
    }

    void process(const Payload& in, Output& out) override {
        if (is_check_) {
            if (verify(in)) out.emit(in);
            return;
        }
        RawDraft copy = copy_of(in, out);
        copy.set(key_, crc32c(copy.bytes()));
        emit_like(in, std::move(copy), out, malformed_);
    }

    void finish(Output&) override { malformed_.report(); }

private:
    /// @return whether the payload may go on.
    [[nodiscard]] bool verify(const Payload& in) {
        const auto expected = in.metadata().integer(key_);
        if (!expected) {
            context_.count("unverified", 1);
            return true;
        }
        const std::uint32_t found = crc32c(in.bytes());
        if (found == *expected) {
            context_.count("verified", 1);
            return true;
        }
        context_.count("mismatches", 1);
        malformed_.add(in, fmt::format("its checksum is {:08x}, not {:08x} as its metadata say", found, *expected));
        return false;
    }

    bool is_check_;
    std::string key_;
    StageContext& context_;
    MalformedRecords malformed_;
};

}  // namespace

void add_checksum(Registry& registry) {
    registry.add<Checksum>({
        .name = "checksum",
        .help = "Adds the CRC-32C of the bytes to the metadata of a copy; or verifies it, hands on what holds, by "
                "reference, and drops and counts mismatches.",
        .params = {{.name = "mode",
                    .kind = ParamKind::string,
                    .help = "What to do. A payload without a checksum is counted as unverified and goes on.",
                    .fallback = ParamValue{std::string{"add"}},
                    .choices = {"add", "verify"}},
                   {.name = "key",
                    .kind = ParamKind::string,
                    .help = "Metadata key of the checksum, an integer.",
                    .fallback = ParamValue{std::string{"crc32c"}}},
                   strict_param()},
    });
}

}  // namespace penstock
