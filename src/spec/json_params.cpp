#include "spec/json_params.hpp"

#include <utility>
#include <variant>

namespace penstock {
namespace {

class Reader {
public:
    Reader(FileProblems& problems, const JsonValue& value, const std::string& pointer)
        : problems_{problems}, value_{value}, pointer_{pointer} {}

    using Result = std::optional<ParamValue>;

    Result operator()(bool flag) const { return ParamValue{flag}; }
    Result operator()(std::int64_t number) const { return ParamValue{number}; }
    Result operator()(const Decimal& number) const { return ParamValue{number.value}; }
    Result operator()(const std::string& text) const { return ParamValue{text}; }
    Result operator()(std::nullptr_t) const { return refuse("; leave the parameter out"); }
    Result operator()(const JsonValue::Object&) const { return refuse("; parameters are flat"); }
    Result operator()(const JsonValue::List& list) const {
        ParamValue::List values;
        for (const auto& element : list) {
            auto value = read_param(problems_, element, pointer_to(pointer_, values.size()));
            if (!value) return std::nullopt;
            values.push_back(std::move(*value));
        }
        return ParamValue{std::move(values)};
    }

private:
    Result refuse(const char* advice) const {
        problems_.add(value_.line, pointer_,
                      "must be a boolean, a number, a string or a list, not " + value_.text() + advice);
        return std::nullopt;
    }

    FileProblems& problems_;
    const JsonValue& value_;
    const std::string& pointer_;
};

}  // namespace

std::optional<ParamValue> read_param(FileProblems& problems, const JsonValue& value, const std::string& pointer) {
    return std::visit(Reader{problems, value, pointer}, value.value);
}

}  // namespace penstock
