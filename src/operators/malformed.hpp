#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>

#include <penstock/operator.hpp>

#include "operators/dead_letters.hpp"

namespace penstock {

/// Counts the records and payloads that a stage cannot use, tells where the first ones are, and keeps them if asked to.
class MalformedRecords {
public:
    enum class Strict : bool { no, yes };

    /// @param strict       The first one ends the run: `add` throws Error{invalid_input}.
    /// @param dead_letter  Name of the result file that keeps them; empty for none.
    explicit MalformedRecords(StageContext& context, Strict strict = Strict::no, std::string_view dead_letter = {})
        : context_{context}, is_strict_{strict == Strict::yes}, dead_letters_{context, dead_letter} {}
    /// Reads the parameter that `strict_param` describes.
    MalformedRecords(StageContext& context, const Params& params);

    void add(PayloadId payload, std::uint64_t line, std::string_view record, std::string_view reason);
    void add(const FilePlace& place, std::string_view record, std::string_view reason);
    /// A payload that cannot be used as a whole.
    void add(const Payload& payload, std::string_view reason);

    /// The payload's text; nothing, after it was counted, if it holds something else.
    [[nodiscard]] std::optional<std::string_view> text_of(const Payload& payload);

    /// Logs the total, if there were any, and closes the file.
    void report();

private:
    /// @return whether this one is worth a line.
    [[nodiscard]] bool note(const std::string& place, std::string_view reason);
    void warn(const std::string& place, std::string_view record, std::string_view reason,
              std::initializer_list<LogField> fields);

    StageContext& context_;
    bool is_strict_;
    DeadLetters dead_letters_;
    std::uint64_t count_ = 0;
    std::string first_;
};

/// Parameter "strict": whether the first malformed payload or record ends the run.
[[nodiscard]] ParamInfo strict_param();

/// Parameter "dead_letter": the result file that keeps malformed records.
/// @param place  What it says of each: "payload, line and reason".
[[nodiscard]] ParamInfo dead_letter_param(std::string_view place = "payload, line and reason");

/// "its dtype is i32, not f32 or f64"
[[nodiscard]] std::string wrong_dtype(const Payload& payload, std::string_view legal);

}  // namespace penstock
