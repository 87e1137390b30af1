#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <penstock/operator.hpp>

namespace penstock {

/// Counts the records and payloads that a stage cannot use, and tells where the first ones are.
class MalformedRecords {
public:
    /// @param is_strict  The first one ends the run: `add` throws Error{invalid_input}.
    explicit MalformedRecords(StageContext& context, bool is_strict = false)
        : context_{context}, is_strict_{is_strict} {}
    /// Reads the parameter that `strict_param` describes.
    MalformedRecords(StageContext& context, const Params& params);

    void add(PayloadId payload, std::uint64_t line, std::string_view record, std::string_view reason);
    /// A payload that cannot be used as a whole.
    void add(const Payload& payload, std::string_view reason);

    /// The payload's text; nothing, after it was counted, if it holds something else.
    [[nodiscard]] std::optional<std::string_view> text_of(const Payload& payload);

    /// Logs the total, if there were any.
    void report() const;

private:
    /// @return whether this one is worth a line.
    bool note(std::string_view place, std::string_view reason);

    StageContext& context_;
    bool is_strict_;
    std::uint64_t count_ = 0;
    std::string first_;
};

/// Parameter "strict": whether the first malformed payload or record ends the run.
[[nodiscard]] ParamInfo strict_param();

/// "its dtype is i32, not f32 or f64"
[[nodiscard]] std::string wrong_dtype(const Payload& payload, std::string_view legal);

}  // namespace penstock
