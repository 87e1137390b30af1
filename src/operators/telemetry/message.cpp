#include "operators/telemetry/message.hpp"

#include <array>

#include "base/time_text.hpp"

namespace penstock::telemetry {
namespace {

[[nodiscard]] bool needs_escape(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte >= 0x80 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&';
}

/// Bytes of the UTF-8 sequence at the front; 0 if there is none.
[[nodiscard]] std::size_t utf8_length(std::string_view text) noexcept {
    const auto at = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
    const auto follows = [&](std::size_t i) { return (at(i) & 0xC0U) == 0x80U; };
    const unsigned first = at(0);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first < 0xE0) return follows(1) ? 2 : 0;
    if (first >= 0xE0 && first < 0xF0) {
        if (!follows(1) || !follows(2)) return 0;
        const bool overlong = first == 0xE0 && at(1) < 0xA0;
        const bool surrogate = first == 0xED && at(1) >= 0xA0;
        return overlong || surrogate ? 0 : 3;
    }
    if (first >= 0xF0 && first < 0xF5) {
        if (!follows(1) || !follows(2) || !follows(3)) return 0;
        const bool overlong = first == 0xF0 && at(1) < 0x90;
        const bool beyond = first == 0xF4 && at(1) >= 0x90;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

void append_unicode(std::string& out, unsigned code) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += "\\u";
    for (int shift = 12; shift >= 0; shift -= 4) out += digits[code >> static_cast<unsigned>(shift) & 0xFU];
}

/// Appends what stands at the front of the text, escaped. @return how many bytes that were.
[[nodiscard]] std::size_t append_escaped(std::string& out, std::string_view text) {
    const char c = text.front();
    switch (c) {
        case '"': out += "\\\""; return 1;
        case '\\': out += "\\\\"; return 1;
        case '\n': out += "\\n"; return 1;
        case '\r': out += "\\r"; return 1;
        case '\t': out += "\\t"; return 1;
        default: break;
    }
    if (static_cast<unsigned char>(c) < 0x80) {
        append_unicode(out, static_cast<unsigned char>(c));
        return 1;
    }
    const std::size_t length = utf8_length(text);
    if (length == 0) {
        out += "\\ufffd";
        return 1;
    }
    const std::string_view sequence = text.substr(0, length);
    if (sequence == "\xE2\x80\xA8") {
        out += "\\u2028";
    } else if (sequence == "\xE2\x80\xA9") {
        out += "\\u2029";
    } else {
        out += sequence;
    }
    return length;
}

void append_text(std::string& out, std::string_view text) {
    out += '"';
    std::size_t plain = 0;
    for (std::size_t i = 0; i < text.size();) {
        if (!needs_escape(text[i])) {
            ++i;
            continue;
        }
        out += text.substr(plain, i - plain);
        i += append_escaped(out, text.substr(i));
        plain = i;
    }
    out += text.substr(plain);
    out += '"';
}

void append_field(std::string& out, std::string_view key, std::string_view value) {
    out += out.empty() || out.back() == '{' ? "\"" : ",\"";
    out += key;
    out += "\":";
    append_text(out, value);
}

void skip_space(std::string_view& json) noexcept {
    const std::size_t begin = json.find_first_not_of(" \t\r\n");
    json.remove_prefix(begin == std::string_view::npos ? json.size() : begin);
}

[[nodiscard]] bool take(std::string_view& json, char c) noexcept {
    skip_space(json);
    if (json.empty() || json.front() != c) return false;
    json.remove_prefix(1);
    return true;
}

[[nodiscard]] bool take_hex(std::string_view& json, unsigned& code) noexcept {
    if (json.size() < 4) return false;
    code = 0;
    for (int i = 0; i < 4; ++i) {
        const char c = json[static_cast<std::size_t>(i)];
        code <<= 4U;
        if (c >= '0' && c <= '9') {
            code |= static_cast<unsigned>(c - '0');
        } else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
            code |= static_cast<unsigned>((c | 0x20) - 'a' + 10);
        } else {
            return false;
        }
    }
    json.remove_prefix(4);
    return true;
}

void append_utf8(std::string& out, unsigned code) {
    const auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
        put(0xC0U | code >> 6U);
    } else {
        if (code < 0x10000) {
            put(0xE0U | code >> 12U);
        } else {
            put(0xF0U | code >> 18U);
            put(0x80U | (code >> 12U & 0x3FU));
        }
        put(0x80U | (code >> 6U & 0x3FU));
    }
    put(0x80U | (code & 0x3FU));
}

/// The escape behind a backslash. @return false for one that JSON does not have.
[[nodiscard]] bool append_unescaped(std::string& out, std::string_view& json) {
    constexpr std::string_view letters = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    if (json.empty()) return false;
    const char c = json.front();
    json.remove_prefix(1);
    if (const std::size_t at = letters.find(c); at != std::string_view::npos) {
        out += meanings[at];
        return true;
    }
    unsigned code = 0;
    if (c != 'u' || !take_hex(json, code)) return false;
    unsigned low = 0;
    std::string_view rest = json;
    if (code >= 0xD800 && code < 0xDC00 && rest.starts_with("\\u") && (rest.remove_prefix(2), take_hex(rest, low)) &&
        low >= 0xDC00 && low < 0xE000) {
        json = rest;
        code = 0x10000U + ((code - 0xD800U) << 10U) + (low - 0xDC00U);
    } else if (code >= 0xD800 && code < 0xE000) {
        code = 0xFFFD;
    }
    append_utf8(out, code);
    return true;
}

}  // namespace

void append_sample(std::string& out, const Sample& sample) {
    std::array<char, max_time_text> time{};
    const char* time_end = write_time(time.data(), sample.time_ns);
    out += '{';
    append_field(out, "gpu_uuid", sample.gpu_uuid);
    append_field(out, "metric_name", sample.metric_name);
    append_field(out, "value", sample.value);
    out += ",\"timestamp\":\"";
    out += std::string_view{time.data(), static_cast<std::size_t>(time_end - time.data())};
    out += '"';
    if (!sample.labels_raw.empty()) append_field(out, "labels_raw", sample.labels_raw);
    out += '}';
}

void append_gpu(std::string& out, const Gpu& gpu) {
    out += '{';
    append_field(out, "uuid", gpu.uuid);
    append_field(out, "device_id", gpu.device_id);
    append_field(out, "gpu_index", gpu.gpu_index);
    append_field(out, "model_name", gpu.model_name);
    append_field(out, "hostname", gpu.hostname);
    if (!gpu.container.empty()) append_field(out, "container", gpu.container);
    if (!gpu.pod.empty()) append_field(out, "pod", gpu.pod);
    if (!gpu.kubernetes_namespace.empty()) append_field(out, "namespace", gpu.kubernetes_namespace);
    out += '}';
}

bool MessageReader::read_string(std::string_view& json, std::string_view& text) {
    if (!take(json, '"')) return false;
    const std::size_t end = json.find_first_of("\"\\");
    if (end == std::string_view::npos) return false;
    if (json[end] == '\\') return unescape(json, text);
    text = json.substr(0, end);
    json.remove_prefix(end + 1);
    return true;
}

/// A string with escapes. REQUIRES: `unescaped_` has room, so that what was read before stays where it is.
bool MessageReader::unescape(std::string_view& json, std::string_view& text) {
    const std::size_t begin = unescaped_.size();
    for (;;) {
        const std::size_t end = json.find_first_of("\"\\");
        if (end == std::string_view::npos) return false;
        unescaped_ += json.substr(0, end);
        const bool over = json[end] == '"';
        json.remove_prefix(end + 1);
        if (over) break;
        if (!append_unescaped(unescaped_, json)) return false;
    }
    text = std::string_view{unescaped_}.substr(begin);
    return true;
}

template <class Take>
bool MessageReader::read_object(std::string_view json, Take&& take_field) {
    why_ = "it is no JSON object of strings";
    unescaped_.clear();
    unescaped_.reserve(json.size());  // an escape is never shorter than what it stands for
    if (!take(json, '{')) return false;
    if (!take(json, '}')) {
        do {
            std::string_view key;
            std::string_view value;
            if (!read_string(json, key) || !take(json, ':') || !read_string(json, value)) return false;
            take_field(key, value);
        } while (take(json, ','));
        if (!take(json, '}')) return false;
    }
    skip_space(json);
    return json.empty();
}

std::optional<Sample> MessageReader::read_sample(std::string_view json) {
    Sample sample;
    std::string_view time;
    bool has_value = false;
    if (!read_object(json, [&](std::string_view key, std::string_view value) {
            if (key == "gpu_uuid") {
                sample.gpu_uuid = value;
            } else if (key == "metric_name") {
                sample.metric_name = value;
            } else if (key == "value") {
                sample.value = value;
                has_value = true;
            } else if (key == "timestamp") {
                time = value;
            } else if (key == "labels_raw") {
                sample.labels_raw = value;
            }
        })) {
        return std::nullopt;
    }
    if (sample.gpu_uuid.empty() || sample.metric_name.empty() || !has_value) {
        why_ = "it lacks gpu_uuid, metric_name or value";
        return std::nullopt;
    }
    const auto ns = parse_time(time);
    if (!ns) {
        why_ = "its timestamp is no RFC 3339 time";
        return std::nullopt;
    }
    sample.time_ns = *ns;
    return sample;
}

std::optional<Gpu> MessageReader::read_gpu(std::string_view json) {
    Gpu gpu;
    if (!read_object(json, [&](std::string_view key, std::string_view value) {
            if (key == "uuid") gpu.uuid = value;
            if (key == "device_id") gpu.device_id = value;
            if (key == "gpu_index") gpu.gpu_index = value;
            if (key == "model_name") gpu.model_name = value;
            if (key == "hostname") gpu.hostname = value;
            if (key == "container") gpu.container = value;
            if (key == "pod") gpu.pod = value;
            if (key == "namespace") gpu.kubernetes_namespace = value;
        })) {
        return std::nullopt;
    }
    if (gpu.uuid.empty()) {
        why_ = "it lacks uuid";
        return std::nullopt;
    }
    return gpu;
}

}  // namespace penstock::telemetry
