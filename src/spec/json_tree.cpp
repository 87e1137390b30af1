#include "spec/json_tree.hpp"

#include <algorithm>
#include <iterator>
#include <limits>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/quote.hpp"
#include "spec/text_check.hpp"

namespace penstock {
namespace {

using nlohmann::json;

/// Walks over the text and leaves a trace of how far the reader is, which the reader itself does not tell.
class TracingIterator {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    TracingIterator(const char* at, const char** trace) : at_{at}, trace_{trace} {}
    reference operator*() const noexcept { return *at_; }
    TracingIterator& operator++() noexcept {
        *trace_ = ++at_;
        return *this;
    }
    TracingIterator operator++(int) noexcept {
        auto before = *this;
        ++*this;
        return before;
    }
    friend bool operator==(const TracingIterator& a, const TracingIterator& b) noexcept { return a.at_ == b.at_; }

private:
    const char* at_;
    const char** trace_;
};

std::string limit_text(std::string_view what, std::size_t limit) {
    return std::string{what} + " than " + std::to_string(limit) + ", the limit for a pipeline file";
}

/// Advice for the mistakes that people make most.
std::string_view syntax_hint(std::string_view text, std::size_t offset) {
    if (offset >= text.size()) return "; a closing bracket or quote is missing";
    const char found = text[offset];
    const auto before = text.substr(0, offset).find_last_not_of(" \t\r\n");
    const char previous = before == std::string_view::npos ? '\0' : text[before];
    if ((found == '}' || found == ']') && previous == ',') return "; remove the comma before it";
    if (found == '/' || found == '#') return "; JSON has no comments, use \"description\"";
    if (found == '\'') return "; JSON strings have double quotes";
    if (found == '"' && previous != ',' && previous != ':') return "; is a comma or a colon missing before it?";
    return "";
}

/// Shortens the text that nlohmann quotes from the file; it may be megabytes.
std::string shorten(std::string_view message) {
    constexpr std::size_t max_quoted = 60;
    const auto begin = message.find('\'');
    const auto end = message.rfind('\'');
    if (begin == std::string_view::npos || end - begin <= max_quoted) return std::string{message};
    auto rest = message.substr(end - max_quoted);
    while ((static_cast<unsigned char>(rest.front()) & 0xc0U) == 0x80U) rest.remove_prefix(1);
    return std::string{message.substr(0, begin)}.append("'...").append(rest);
}

/// Builds the tree from the events of nlohmann's parser.
class TreeBuilder final : public json::json_sax_t {
public:
    TreeBuilder(std::string_view text, const char* const* trace, FileProblems& problems)
        : text_{text}, trace_{trace}, problems_{problems}, counted_{text.data()} {}

    bool null() override { return put(nullptr, false); }
    bool boolean(bool value) override { return put(value, false); }
    bool number_integer(number_integer_t value) override { return put(std::int64_t{value}, true); }
    bool number_unsigned(number_unsigned_t value) override {
        constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
        if (value > largest) return refuse_integer(std::to_string(value));
        return put(static_cast<std::int64_t>(value), true);
    }
    bool number_float(number_float_t value, const string_t& written) override {
        if (written.find_first_of(".eE") == std::string::npos) return refuse_integer(written);
        return put(Decimal{.value = value, .text = written}, true);
    }
    bool string(string_t& value) override {
        if (value.size() > max_string_bytes) {
            return refuse(limit_text("a string has more bytes", max_string_bytes));
        }
        return put(std::move(value), false);
    }
    bool binary(binary_t& /*value*/) override { return false; }  // never in JSON text

    bool start_object(std::size_t /*size*/) override { return open(JsonValue::Object{}); }
    bool start_array(std::size_t /*size*/) override { return open(JsonValue::List{}); }
    bool end_object() override { return close(); }
    bool end_array() override { return close(); }

    bool key(string_t& name) override {
        if (name.size() > max_string_bytes) return refuse(limit_text("a key has more bytes", max_string_bytes));
        auto& open = open_.back();
        const int line = line_at_event(false);
        if (!open.keys.insert(name).second) {
            problems_.add(line, pointer_to(pointer(open_.size() - 1), name), "stands twice; remove one of them");
        }
        std::get<JsonValue::Object>(open.value->value).push_back({std::move(name), JsonValue{}, line});
        return true;
    }

    bool parse_error(std::size_t /*position*/, const std::string& /*token*/, const json::exception& error) override {
        std::string_view message = error.what();
        // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ..."
        message.remove_prefix(std::min(message.find("] ") + 2, message.size()));
        if (message.starts_with("parse error")) message.remove_prefix(message.find(": ") + 2);
        const auto read = static_cast<std::size_t>(*trace_ - text_.data());
        const bool at_end = message.find("unexpected end of input") != std::string_view::npos;
        const std::size_t offset = at_end ? text_.size() : read - std::min<std::size_t>(read, 1);
        const auto [line, column] = position_of(text_, offset);
        problems_.add_syntax(line, column, shorten(message).append(syntax_hint(text_, offset)));
        return false;
    }

    [[nodiscard]] JsonValue take_root() { return std::move(root_); }

private:
    struct Open {
        JsonValue* value;
        std::unordered_set<std::string> keys;
    };

    template <class Value>
    bool put(Value&& value, bool number) {
        return add(std::forward<Value>(value), line_at_event(number)) != nullptr;
    }

    /// A container that is still open never moves: its parent grows only after it is closed.
    template <class Value>
    JsonValue* add(Value&& value, int line) {
        if (++values_ > max_values) {
            refuse(limit_text("has more values", max_values));
            return nullptr;
        }
        JsonValue* place = &root_;
        if (!open_.empty()) {
            auto& parent = open_.back().value->value;
            if (auto* list = std::get_if<JsonValue::List>(&parent)) {
                place = &list->emplace_back();
            } else {
                place = &std::get<JsonValue::Object>(parent).back().value;
            }
        }
        place->value = std::forward<Value>(value);
        place->line = line;
        return place;
    }

    template <class Container>
    bool open(Container&& container) {
        if (open_.size() == max_depth) return refuse(limit_text("is nested deeper", max_depth));
        JsonValue* value = add(std::forward<Container>(container), line_at_event(false));
        if (value != nullptr) open_.push_back({value, {}});
        return value != nullptr;
    }

    bool close() {
        open_.pop_back();
        return true;
    }

    /// Pointer to the value in progress inside the first `depth` open containers.
    [[nodiscard]] std::string pointer(std::size_t depth) const {
        std::string text;
        for (std::size_t level = 0; level < depth; ++level) {
            const auto& value = *open_[level].value;
            text = value.list() != nullptr ? pointer_to(text, value.list()->size() - 1)
                                           : pointer_to(text, value.object()->back().key);
        }
        return text;
    }

    /// Line of the token just read. A number ends where the next character begins: that one has been read already.
    int line_at_event(bool number) {
        const char* end = *trace_;
        if (number && end[-1] == '\n') --end;
        line_ += static_cast<int>(std::count(counted_, end, '\n'));
        counted_ = end;
        return line_;
    }

    bool refuse(std::string_view why) {
        const auto [line, column] = position_of(text_, static_cast<std::size_t>(*trace_ - text_.data()));
        problems_.add_syntax(line, column, why);
        return false;
    }
    bool refuse_integer(std::string_view written) {
        return refuse("the integer " + printable(written) + " does not fit into 64 bits");
    }

    std::string_view text_;
    const char* const* trace_;
    FileProblems& problems_;
    const char* counted_;
    int line_ = 1;
    std::size_t values_ = 0;
    JsonValue root_;
    std::vector<Open> open_;
};

}  // namespace

std::string JsonValue::text() const {
    struct Words {
        std::string operator()(std::nullptr_t) const { return "null"; }
        std::string operator()(bool flag) const { return flag ? "true" : "false"; }
        std::string operator()(std::int64_t number) const { return std::to_string(number); }
        std::string operator()(const Decimal& number) const { return printable(number.text); }
        std::string operator()(const std::string& words) const { return in_quotes(words); }
        std::string operator()(const List&) const { return "a list"; }
        std::string operator()(const Object&) const { return "an object"; }
    };
    return std::visit(Words{}, value);
}

std::string pointer_to(std::string_view parent, std::string_view key) {
    std::string text{parent};
    text += '/';
    for (const char letter : printable(key)) {
        if (letter == '~') {
            text += "~0";
        } else if (letter == '/') {
            text += "~1";
        } else {
            text += letter;
        }
    }
    return text;
}

std::string pointer_to(std::string_view parent, std::size_t index) {
    return std::string{parent} + '/' + std::to_string(index);
}

std::optional<JsonValue> parse_json(std::string_view text, FileProblems& problems) {
    if (!check_text(text, problems)) return std::nullopt;
    const char* trace = text.data();
    TreeBuilder builder{text, &trace, problems};
    const TracingIterator begin{text.data(), &trace};
    const TracingIterator end{text.data() + text.size(), &trace};
    if (!json::sax_parse(begin, end, &builder)) return std::nullopt;
    return builder.take_root();
}

}  // namespace penstock
