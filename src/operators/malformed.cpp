#include "operators/malformed.hpp"

#include <fmt/format.h>

#include "base/quote.hpp"

namespace penstock {
namespace {

constexpr std::uint64_t shown = 5;

}  // namespace

bool MalformedRecords::count() {
    context_.count("malformed", 1);
    return ++count_ <= shown;
}

void MalformedRecords::warn(const std::string& place, std::string_view record, std::string_view reason,
                            std::initializer_list<LogField> fields) {
    if (count_ == 1) first_ = place;
    context_.log().warn(fmt::format("Malformed record at {}: {}: {}", place, reason, in_quotes(record)), fields);
}

void MalformedRecords::add(PayloadId payload, std::uint64_t line, std::string_view record, std::string_view reason) {
    dead_letters_.keep(payload, line, reason, record);
    if (!count()) return;
    warn(fmt::format("payload {} of rank {}, line {}", payload.sequence, payload.instance, line), record, reason,
         {{"payload", static_cast<std::int64_t>(payload.sequence)},
          {"source_rank", static_cast<std::int64_t>(payload.instance)},
          {"line", static_cast<std::int64_t>(line)}});
}

void MalformedRecords::add(const FilePlace& place, std::string_view record, std::string_view reason) {
    dead_letters_.keep(place, reason, record);
    if (!count()) return;
    warn(text_of(place), record, reason,
         {{"file", place.path},
          {"line", static_cast<std::int64_t>(place.line)},
          {"byte", static_cast<std::int64_t>(place.byte)}});
}

void MalformedRecords::report() {
    dead_letters_.close();
    if (count_ == 0) return;
    context_.log().warn(
        fmt::format("Dropped {} malformed record{} (first at {})", count_, count_ == 1 ? "" : "s", first_),
        {{"malformed", static_cast<std::int64_t>(count_)}});
}

}  // namespace penstock
