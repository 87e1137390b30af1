#include "operators/dead_letters.hpp"

#include <vector>

#include <fmt/format.h>

#include "base/quote.hpp"
#include "operators/json_text.hpp"

namespace penstock {

std::string text_of(const FilePlace& place) {
    const std::string file = path_in_quotes(place.path);
    if (place.line == 0) return fmt::format("byte {} of {}", place.byte, file);
    return fmt::format("line {} (byte {}) of {}", place.line, place.byte, file);
}

DeadLetters::DeadLetters(const StageContext& context, std::string_view name) {
    if (!name.empty()) file_.emplace(context.result_path(name), "dead_letter");
}

void DeadLetters::keep(const FilePlace& place, std::string_view reason, std::string_view record) {
    if (!file_) return;
    std::string where = "\"file\": ";
    append_json_string(where, place.path);
    if (place.line > 0) where += fmt::format(", \"line\": {}", place.line);
    where += fmt::format(", \"byte\": {}", place.byte);
    write(where, reason, record);
}

void DeadLetters::keep(PayloadId payload, std::uint64_t line, std::string_view reason, std::string_view record) {
    if (!file_) return;
    write(fmt::format("\"source_rank\": {}, \"payload\": {}, \"line\": {}", payload.instance, payload.sequence, line),
          reason, record);
}

void DeadLetters::write(std::string_view place, std::string_view reason, std::string_view record) {
    text_ = "{";
    text_ += place;
    text_ += ", \"reason\": ";
    append_json_string(text_, reason);
    text_ += ", \"record\": ";
    if (!append_json_string(text_, record)) {
        text_ += ", \"record_hex\": \"";
        for (const char byte : record) text_ += fmt::format("{:02x}", static_cast<unsigned char>(byte));
        text_ += '"';
    }
    text_ += "}\n";
    std::vector<iovec> parts{{text_.data(), text_.size()}};
    file_->append(parts);
}

void DeadLetters::close() {
    if (file_) file_->close();
    file_.reset();
}

}  // namespace penstock
