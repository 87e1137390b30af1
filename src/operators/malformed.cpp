#include "operators/malformed.hpp"

#include <fmt/format.h>

#include "base/quote.hpp"

namespace penstock {
namespace {

constexpr std::uint64_t shown = 5;

std::string place_of(PayloadId payload) {
    return fmt::format("payload {} of rank {}", payload.sequence, payload.instance);
}

}  // namespace

MalformedRecords::MalformedRecords(StageContext& context, const Params& params)
    : MalformedRecords{context, params.get<bool>("strict") ? Strict::yes : Strict::no} {}

bool MalformedRecords::note(const std::string& place, std::string_view reason) {
    if (is_strict_) {
        throw Error{Errc::invalid_input,
                    fmt::format("{} is malformed: {}; correct it, or set \"strict\" to false", place, reason)};
    }
    context_.count("malformed", 1);
    if (++count_ == 1) first_ = place;
    return count_ <= shown;
}

void MalformedRecords::warn(const std::string& place, std::string_view record, std::string_view reason,
                            std::initializer_list<LogField> fields) {
    context_.log().warn(fmt::format("Malformed record at {}: {}: {}", place, reason, in_quotes(record)), fields);
}

void MalformedRecords::add(PayloadId payload, std::uint64_t line, std::string_view record, std::string_view reason) {
    dead_letters_.keep(payload, line, reason, record);
    const std::string place = fmt::format("{}, line {}", place_of(payload), line);
    if (!note(place, reason)) return;
    warn(place, record, reason,
         {{"payload", static_cast<std::int64_t>(payload.sequence)},
          {"source_rank", static_cast<std::int64_t>(payload.instance)},
          {"line", static_cast<std::int64_t>(line)}});
}

void MalformedRecords::add(const FilePlace& place, std::string_view record, std::string_view reason) {
    dead_letters_.keep(place, reason, record);
    const std::string text = penstock::text_of(place);
    if (!note(text, reason)) return;
    warn(text, record, reason,
         {{"file", place.path},
          {"line", static_cast<std::int64_t>(place.line)},
          {"byte", static_cast<std::int64_t>(place.byte)}});
}

void MalformedRecords::add(const Payload& payload, std::string_view reason) {
    const PayloadId id = payload.id();
    const std::string place = place_of(id);
    if (!note(place, reason)) return;
    context_.log().warn(
        fmt::format("Malformed {}: {}", place, reason),
        {{"payload", static_cast<std::int64_t>(id.sequence)}, {"source_rank", static_cast<std::int64_t>(id.instance)}});
}

std::optional<std::string_view> MalformedRecords::text_of(const Payload& payload) {
    if (payload.dtype() == DType::text || payload.dtype() == DType::bytes) return payload.text();
    add(payload, wrong_dtype(payload, "text"));
    return std::nullopt;
}

void MalformedRecords::report() {
    dead_letters_.close();
    if (count_ == 0) return;
    context_.log().warn(
        fmt::format("Dropped {} malformed record{} (first at {})", count_, count_ == 1 ? "" : "s", first_),
        {{"malformed", static_cast<std::int64_t>(count_)}});
}

ParamInfo dead_letter_param(std::string_view place) {
    return {
        .name = "dead_letter",
        .kind = ParamKind::string,
        .help = fmt::format("Result file that keeps the malformed records as JSON lines, with {}. Empty: none.", place),
        .fallback = ParamValue{std::string{}}};
}

ParamInfo strict_param() {
    return {.name = "strict",
            .kind = ParamKind::boolean,
            .help = "Whether the first malformed payload ends the run, instead of being counted and dropped.",
            .fallback = ParamValue{false}};
}

std::string wrong_dtype(const Payload& payload, std::string_view legal) {
    return fmt::format("its dtype is {}, not {}", name_of(payload.dtype()), legal);
}

}  // namespace penstock
