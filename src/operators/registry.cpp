#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/error.hpp>
#include <penstock/operator.hpp>

#include "base/nearest.hpp"
#include "base/quote.hpp"
#include "operators/param_check.hpp"

namespace penstock {
namespace {

constexpr std::array<std::string_view, 3> operator_kinds{"source", "processor", "sink"};

bool is_identifier(std::string_view name) noexcept {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    constexpr std::string_view others = "0123456789-.";
    if (name.empty() || letters.find(name.front()) == std::string_view::npos) return false;
    return std::ranges::all_of(name, [&](char letter) {
        return letters.find(letter) != std::string_view::npos || others.find(letter) != std::string_view::npos;
    });
}

const ParamInfo* find_param(const OperatorInfo& info, std::string_view name) noexcept {
    const auto found = std::ranges::find(info.params, name, &ParamInfo::name);
    return found == info.params.end() ? nullptr : &*found;
}

[[noreturn]] void fail_unknown_param(const OperatorInfo& info, std::string_view name) {
    std::vector<std::string_view> names;
    for (const auto& param : info.params) names.emplace_back(param.name);
    const std::string legal = names.empty() ? "; it takes none" : suggestion(name, names, "its parameters are");
    throw Error{Errc::invalid_input,
                "operator " + in_quotes(info.name) + " has no parameter " + in_quotes(name) + legal};
}

void check_description(const OperatorInfo& info) {
    for (const auto& param : info.params) {
        if (find_param(info, param.name) != &param) {
            throw Error{Errc::invalid_input, "operator " + in_quotes(info.name) + " describes parameter " +
                                                 in_quotes(param.name) + " twice; give each a name of its own"};
        }
        if (!param.fallback) continue;
        with_context([&] { return "adding operator " + in_quotes(info.name); },
                     [&] { return checked_param(param, *param.fallback); });
    }
}

}  // namespace

std::string_view name_of(OperatorKind kind) noexcept {
    return operator_kinds[static_cast<std::size_t>(kind)];
}

void Registry::add(OperatorInfo info, Factory factory) {
    if (!is_identifier(info.name)) {
        throw Error{Errc::invalid_input, in_quotes(info.name) +
                                             " cannot name an operator; use letters, digits, '_', '-' "
                                             "and '.', beginning with a letter or '_'"};
    }
    check_description(info);
    const std::string name = info.name;
    if (!entries_.try_emplace(name, Entry{std::move(info), std::move(factory)}).second) {
        throw Error{Errc::invalid_input, "there is an operator " + in_quotes(name) + " already; choose another name"};
    }
}

const OperatorInfo* Registry::find(std::string_view name) const noexcept {
    const auto found = entries_.find(name);
    return found == entries_.end() ? nullptr : &found->second.info;
}

std::vector<const OperatorInfo*> Registry::list() const {
    std::vector<const OperatorInfo*> infos;
    for (const auto& entry : entries_) infos.push_back(&entry.second.info);
    return infos;
}

std::optional<std::string> Registry::nearest(std::string_view name) const {
    std::vector<std::string_view> names;
    for (const auto& entry : entries_) names.emplace_back(entry.first);
    return penstock::nearest(name, names);
}

Params Registry::complete(const OperatorInfo& info, const Params& given,
                          const std::map<std::string, std::string>& env) const {
    Params complete;
    for (const auto& [name, value] : given) {
        const ParamInfo* param = find_param(info, name);
        if (param == nullptr && !info.any_params) fail_unknown_param(info, name);
        complete.set(name, param == nullptr ? value : checked_param(*param, value));
    }
    for (const auto& param : info.params) {
        if (complete.has(param.name)) continue;
        const auto variable = param.env.empty() ? env.end() : env.find(param.env);
        if (variable != env.end()) {
            complete.set(param.name, param_from_env(param, variable->second));
        } else if (param.fallback) {
            complete.set(param.name, checked_param(param, *param.fallback));
        } else {
            throw Error{Errc::invalid_input, "operator " + in_quotes(info.name) + " needs parameter " +
                                                 in_quotes(param.name) + ": " + param.help};
        }
    }
    return complete;
}

Operator Registry::make(std::string_view name, const Params& params, StageContext& context) const {
    const auto found = entries_.find(name);
    if (found == entries_.end()) {
        std::vector<std::string_view> names;
        for (const auto& entry : entries_) names.emplace_back(entry.first);
        throw Error{Errc::invalid_input,
                    "there is no operator " + in_quotes(name) + suggestion(name, names, "the operators are")};
    }
    const Entry& entry = found->second;
    Operator made = entry.factory(params, context);
    const auto made_kind = static_cast<OperatorKind>(made.index());
    if (made_kind != entry.info.kind) {
        throw Error{Errc::invalid_input, "operator " + in_quotes(name) + " is described as a " +
                                             std::string{name_of(entry.info.kind)} + " but its factory made a " +
                                             std::string{name_of(made_kind)} + "; correct OperatorInfo::kind"};
    }
    return made;
}

}  // namespace penstock
