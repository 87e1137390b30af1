#pragma once

#include <array>
#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <nlohmann/json.hpp>

#include <penstock/log.hpp>

#include "spec/words.hpp"

namespace penstock::cli {

inline constexpr std::array level_words{Word<LogLevel>{"debug", LogLevel::debug},
                                        Word<LogLevel>{"info", LogLevel::info}, Word<LogLevel>{"warn", LogLevel::warn},
                                        Word<LogLevel>{"error", LogLevel::error}};

/// "Examples:" and one line each, for the end of a help text.
[[nodiscard]] std::string examples(std::initializer_list<std::string_view> lines);

/// Pretty, ended with a newline; bytes that are no UTF-8 are replaced.
[[nodiscard]] std::string json_text(const nlohmann::ordered_json& json);

/// "{auto,shm,mpi}": how help shows the legal words of an option and completion finds them.
[[nodiscard]] std::string choices_text(const std::vector<std::string_view>& names);

/// @throws CLI::ValidationError naming the option and the legal words.
[[noreturn]] void refuse_choice(const std::string& option, std::string_view text,
                                const std::vector<std::string_view>& names);

/// An option whose value is one of a few words.
template <class Value>
void add_choice(CLI::App& command, const std::string& name, Value& into, const Vocabulary<Value>& vocabulary,
                const std::string& help) {
    const auto read = [&into, vocabulary, name](const std::string& text) {
        const auto value = vocabulary.find(text);
        if (!value) refuse_choice(name, text, names_of(vocabulary));
        into = *value;
    };
    command.add_option_function<std::string>(name, read, help)
        ->type_name(choices_text(names_of(vocabulary)))
        ->default_str(std::string{vocabulary.name_of(into)});
}

/// An option whose value is a duration with its unit.
void add_duration(CLI::App& command, const std::string& name, std::chrono::milliseconds& into, const std::string& help);

}  // namespace penstock::cli
