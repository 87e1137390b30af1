#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include <penstock/operator.hpp>

#include "operators/dead_letters.hpp"

namespace penstock {

/// Counts the records that a stage cannot use, tells where the first ones are, and keeps them if asked to.
class MalformedRecords {
public:
    /// @param dead_letter  Name of the result file that keeps them; empty for none.
    explicit MalformedRecords(StageContext& context, std::string_view dead_letter = {})
        : context_{context}, dead_letters_{context, dead_letter} {}

    void add(PayloadId payload, std::uint64_t line, std::string_view record, std::string_view reason);
    void add(const FilePlace& place, std::string_view record, std::string_view reason);
    /// Logs the total, if there were any, and closes the file.
    void report();

private:
    /// @return whether it is worth a line.
    [[nodiscard]] bool count();
    void warn(const std::string& place, std::string_view record, std::string_view reason,
              std::initializer_list<LogField> fields);

    StageContext& context_;
    DeadLetters dead_letters_;
    std::uint64_t count_ = 0;
    std::string first_;
};

}  // namespace penstock
