#include "base/quote.hpp"
#include "cli/completion.hpp"

namespace penstock::cli {
namespace {

using Kind = Words::Kind;

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
}

std::string bash_words(const Words& words) {
    switch (words.kind) {
        case Kind::listed: return "_penstock_words " + shell_quoted(joined(words.listed));
        case Kind::pipeline_files: return "_penstock_files";
        case Kind::directories: return "_penstock_directories";
        case Kind::none:
        case Kind::anything: break;
    }
    return ":";
}

constexpr std::string_view bash_head = R"(# bash completion of penstock: source <(penstock completion bash)

_penstock_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "$current")
}

_penstock_files() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$current"; compgen -f -X '!*.json' -- "$current")
}

_penstock_directories() {
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -d -- "$current")
}

_penstock() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=${COMP_WORDS[1]}
    COMPREPLY=()
)";

std::string zsh_action(const Words& words) {
    switch (words.kind) {
        case Kind::listed: return "(" + joined(words.listed) + ")";
        case Kind::pipeline_files: return "_files -g \"*.json\"";
        case Kind::directories: return "_files -/";
        case Kind::none:
        case Kind::anything: break;
    }
    return " ";
}

/// Colons and brackets have a meaning in the specifications of `_arguments`.
std::string zsh_help(const std::string& help) {
    std::string out;
    for (const char letter : help) {
        if (letter == ':' || letter == '[' || letter == ']') out += '\\';
        out += letter;
    }
    return out;
}

std::string fish_value(const Words& words) {
    switch (words.kind) {
        case Kind::none: return "";
        case Kind::anything: return " -x";
        case Kind::listed: return " -x -a " + shell_quoted(joined(words.listed));
        case Kind::pipeline_files: return " -x -a '(__fish_complete_suffix .json)'";
        case Kind::directories: return " -x -a '(__fish_complete_directories)'";
    }
    return "";
}

std::string fish_quoted(const std::string& text) {
    std::string out = "'";
    for (const char letter : text) {
        if (letter == '\'' || letter == '\\') out += '\\';
        out += letter;
    }
    return out + '\'';
}

}  // namespace

std::string bash_completion(const std::vector<CompletedCommand>& commands) {
    std::vector<std::string> names;
    for (const auto& command : commands) names.push_back(command.name);
    std::string text{bash_head};
    text += "    if ((COMP_CWORD == 1)); then\n        _penstock_words '" + joined(names) +
            " --help --version'\n        return\n    fi\n    case $command:$previous in\n";
    for (const auto& command : commands) {
        for (const auto& option : command.options) {
            if (option.value.kind == Kind::none) continue;
            text += "        " + command.name + ':' + option.name + ") " + bash_words(option.value) + "; return ;;\n";
        }
    }
    text += "    esac\n    case $command:$current in\n";
    for (const auto& command : commands) {
        std::vector<std::string> options;
        for (const auto& option : command.options) options.push_back(option.name);
        text += "        " + command.name + ":-*) _penstock_words '" + joined(options) + "' ;;\n";
        text += "        " + command.name + ":*) " + bash_words(command.argument) + " ;;\n";
    }
    return text + "    esac\n}\n\ncomplete -F _penstock penstock\n";
}

std::string zsh_completion(const std::vector<CompletedCommand>& commands) {
    std::string text =
        "#compdef penstock\n# zsh completion of penstock: penstock completion zsh > a file _penstock in your fpath\n\n"
        "_penstock() {\n    local -a commands\n    commands=(\n";
    for (const auto& command : commands) {
        text += "        " + shell_quoted(command.name + ':' + zsh_help(command.help)) + '\n';
    }
    text +=
        "    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n        return\n    fi\n"
        "    local command=$words[2]\n    shift words\n    ((CURRENT--))\n    case $command in\n";
    for (const auto& command : commands) {
        text += "        " + command.name + ")\n            _arguments";
        for (const auto& option : command.options) {
            const auto repeat = option.name == "--set" ? "*" : "";
            auto spec = repeat + option.name + '[' + zsh_help(option.help) + ']';
            if (option.value.kind != Kind::none) spec += ":value:" + zsh_action(option.value);
            text += " \\\n                " + shell_quoted(spec);
        }
        if (command.argument.kind != Kind::none) {
            text += " \\\n                " + shell_quoted("1:argument:" + zsh_action(command.argument));
        }
        text += "\n            ;;\n";
    }
    return text +
           "    esac\n}\n\n# Loaded from the fpath, or sourced.\nif [[ $funcstack[1] == _penstock ]]; then\n"
           "    _penstock \"$@\"\nelse\n    compdef _penstock penstock\nfi\n";
}

std::string fish_completion(const std::vector<CompletedCommand>& commands) {
    std::string text = "# fish completion of penstock: penstock completion fish | source\n\ncomplete -c penstock -f\n";
    for (const auto& command : commands) {
        text += "complete -c penstock -n __fish_use_subcommand -a " + command.name + " -d " +
                fish_quoted(command.help) + '\n';
        const auto condition = "complete -c penstock -n '__fish_seen_subcommand_from " + command.name + '\'';
        for (const auto& option : command.options) {
            text += condition + " -l " + option.name.substr(2) + fish_value(option.value) + " -d " +
                    fish_quoted(option.help) + '\n';
        }
        if (command.argument.kind != Kind::none) text += condition + fish_value(command.argument) + '\n';
    }
    return text;
}

}  // namespace penstock::cli
