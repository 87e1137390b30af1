#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <penstock/operator.hpp>

namespace penstock {

/// Counts the records that a stage cannot use, and tells where the first ones are.
class MalformedRecords {
public:
    explicit MalformedRecords(StageContext& context) : context_{context} {}

    void add(PayloadId payload, std::uint64_t line, std::string_view record, std::string_view reason);
    /// The payload as a whole is what cannot be used.
    void add(PayloadId payload, std::string_view reason);
    /// Logs the total, if there were any.
    void report() const;

private:
    StageContext& context_;
    std::uint64_t count_ = 0;
    std::string first_;
};

}  // namespace penstock
