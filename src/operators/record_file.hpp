#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <penstock/operator.hpp>

#include "operators/malformed.hpp"
#include "operators/progress.hpp"
#include "operators/row_file.hpp"

namespace penstock {

/// The file of a sink of records, with what it leaves out and what it counts.
class RecordFile {
public:
    /// Reads the parameters that `record_file_params` describes. @throws as RowFile.
    RecordFile(const Params& params, StageContext& context);

    /// The clock starts with the first payload that is appended.
    void begin_payload() {
        if (payloads_ == 0) watch_.start();
    }
    /// A line that is no record. `parts` is used up, as by all of these.
    void append_line(std::vector<iovec>& parts) { file_.append(parts); }
    /// The records of a payload, whole or not at all. @throws Error{exhausted} if they do not fit.
    void append(std::vector<iovec>& parts, std::uint64_t records);
    void close();

    [[nodiscard]] MalformedRecords& malformed() noexcept { return malformed_; }
    [[nodiscard]] std::uint64_t payloads() const noexcept { return payloads_; }
    [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
    [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }
    [[nodiscard]] const Stopwatch& watch() const noexcept { return watch_; }
    [[nodiscard]] std::string rate_text() const { return watch_.rate_text(records_); }

private:
    StageContext& context_;
    RowFile file_;
    MalformedRecords malformed_;
    std::uint64_t payloads_ = 0;
    std::uint64_t records_ = 0;
    Stopwatch watch_;
};

/// Parameter "output", before the operator's own ones; "dead_letter" behind them.
[[nodiscard]] std::vector<ParamInfo> record_file_params(const std::string& output, std::vector<ParamInfo> others);

}  // namespace penstock
