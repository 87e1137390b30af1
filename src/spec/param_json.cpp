#include "spec/param_json.hpp"

#include <variant>

namespace penstock {
namespace {

using Json = nlohmann::ordered_json;

struct ToJson {
    Json operator()(const ParamValue::List& list) const {
        auto json = Json::array();
        for (const auto& element : list) json.push_back(param_json(element));
        return json;
    }
    template <class Scalar>
    Json operator()(const Scalar& scalar) const {
        return scalar;
    }
};

}  // namespace

Json param_json(const ParamValue& value) {
    return std::visit(ToJson{}, value.value);
}

Json params_json(const Params& params) {
    auto json = Json::object();
    for (const auto& [name, value] : params) json[name] = param_json(value);
    return json;
}

}  // namespace penstock
