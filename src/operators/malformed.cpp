#include "operators/malformed.hpp"

#include <fmt/format.h>

#include "base/quote.hpp"

namespace penstock {
namespace {

constexpr std::uint64_t shown = 5;

}  // namespace

void MalformedRecords::add(PayloadId payload, std::uint64_t line, std::string_view record, std::string_view reason) {
    context_.count("malformed", 1);
    if (++count_ > shown) return;
    const std::string place = fmt::format("payload {} of rank {}, line {}", payload.sequence, payload.instance, line);
    if (count_ == 1) first_ = place;
    context_.log().warn(fmt::format("Malformed record at {}: {}: {}", place, reason, in_quotes(record)),
                        {{"payload", static_cast<std::int64_t>(payload.sequence)},
                         {"source_rank", static_cast<std::int64_t>(payload.instance)},
                         {"line", static_cast<std::int64_t>(line)}});
}

void MalformedRecords::add(PayloadId payload, std::string_view reason) {
    context_.count("malformed", 1);
    if (++count_ > shown) return;
    const std::string place = fmt::format("payload {} of rank {}", payload.sequence, payload.instance);
    if (count_ == 1) first_ = place;
    context_.log().warn(fmt::format("Malformed record: {}: {}", place, reason),
                        {{"payload", static_cast<std::int64_t>(payload.sequence)},
                         {"source_rank", static_cast<std::int64_t>(payload.instance)}});
}

void MalformedRecords::report() const {
    if (count_ == 0) return;
    context_.log().warn(
        fmt::format("Dropped {} malformed record{} (first at {})", count_, count_ == 1 ? "" : "s", first_),
        {{"malformed", static_cast<std::int64_t>(count_)}});
}

}  // namespace penstock
