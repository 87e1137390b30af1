#include "launch/slurm_script.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

#include <penstock/error.hpp>
#include <penstock/version.hpp>

#include "base/quote.hpp"

namespace penstock {
namespace {

/// What sbatch reads of a line. It cuts longer ones.
constexpr std::size_t longest_option = 4000;

[[nodiscard]] bool is_plain(char c) noexcept {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view{"_-+=./:,@%"}.find(c) != std::string_view::npos;
}

/// A word as sbatch reads it on a line of options: in double quotes, backslashes before quotes and backslashes.
[[nodiscard]] std::string directive_word(const std::string& text) {
    const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
    if (std::ranges::any_of(text, is_control)) {
        throw Error{Errc::invalid_input,
                    in_quotes(text) + " has a control character, which an option of sbatch cannot have; leave it out"};
    }
    if (text.size() > longest_option) {
        throw Error{Errc::invalid_input, in_quotes(text) + " is longer than the " + std::to_string(longest_option) +
                                             " characters that an option of sbatch may have; shorten it"};
    }
    if (std::ranges::all_of(text, is_plain)) return text;
    std::string word = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') word += '\\';
        word += c;
    }
    return word + '"';
}

[[nodiscard]] std::string directive(const std::string& name, const std::string& value) {
    if (name.size() == 1) return "#SBATCH -" + name + (value.empty() ? "" : " " + directive_word(value)) + "\n";
    return "#SBATCH " + directive_word("--" + name + (value.empty() ? "" : "=" + value)) + "\n";
}

[[nodiscard]] std::string shell_word(const std::string& text) {
    return !text.empty() && std::ranges::all_of(text, is_plain) ? text : shell_quoted(text);
}

constexpr std::string_view head = R"(
say() { printf 'penstock launch: %s\n' "$*" >&2; }

if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then
    say "restart $SLURM_RESTART_COUNT of job $SLURM_JOB_ID: the pipeline starts from its beginning, in a run directory" \
        "of its own; what the attempt before has left stays there"
fi
)";

// bash runs a trap when the command that it waits for has ended; without one it would end at once, and with it the job.
constexpr std::string_view trap = R"(
began=$(date +%s)
trap : TERM # srun and its tasks get it too, and drain
)";

constexpr std::string_view tail = R"(
code=$?

# srun says 137 for a killed task, and may say 0 after a lost node. What the run has written down decides, if it is of this
# attempt: there may be one of an attempt before, or of another cluster's job of this number.
if own=$("$penstock" status --runs-dir "$runs_dir" --exit-code --since "$began" "$SLURM_JOB_ID" 2>/dev/null) &&
    [ "$own" != "$code" ]; then
    say "srun ended with $code; by its run directory the run ended with $own"
    code=$own
fi
[ "$own" != 138 ] || say "the time limit was near: the sources were stopped, and what was under way has arrived"
exit "$code"
)";

constexpr std::size_t ranks_per_line = 32;

/// The names of the nodes are known in the job only. srun takes them from a file with a line for each task.
constexpr std::string_view name_nodes = R"(
mapfile -t names < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
if [ "${#names[@]}" -ne "$node_count" ]; then
    say "the pipeline is placed on $node_count nodes, and this job has ${#names[@]}: $SLURM_JOB_NODELIST"
    exit 6
fi
SLURM_HOSTFILE=$(mktemp) || exit 4
export SLURM_HOSTFILE
trap 'rm -f "$SLURM_HOSTFILE"' EXIT
for node in "${nodes[@]}"; do echo "${names[node]}"; done >"$SLURM_HOSTFILE" || exit 4
unset SLURM_NTASKS_PER_NODE # the room of a node; srun takes it for the number of its tasks
)";

[[nodiscard]] std::string host_file(const SlurmJob& job) {
    std::string text = "\n# The node of each rank, from 0 in the order of their names.\nnodes=(";
    for (std::size_t rank = 0; rank < job.nodes.size(); ++rank) {
        text += (rank == 0 ? "" : rank % ranks_per_line == 0 ? "\n    " : " ") + std::to_string(job.nodes[rank]);
    }
    return text + ")\nnode_count=" + std::to_string(job.node_count) + std::string{name_nodes};
}

/// Once, before the ranks: each of them would look through all runs.
[[nodiscard]] std::string find_earlier(const SlurmJob& job) {
    std::string text;
    for (std::size_t i = 0; i < job.earlier.size(); ++i) {
        text += i == 0 ? "\n# The runs of the phases before.\n" : "";
        text += "earlier_" + std::to_string(i + 1) + "=$(\"$penstock\" status --runs-dir \"$runs_dir\" --path " +
                shell_word(job.earlier[i].second) + ") || exit\n";
    }
    return text;
}

[[nodiscard]] std::string phase_words(const SlurmJob& job) {
    std::string text = job.phase.empty() ? "" : " --phase " + shell_word(job.phase);
    for (std::size_t i = 0; i < job.earlier.size(); ++i) {
        text += " --earlier " + shell_word(job.earlier[i].first) + "=\"$earlier_" + std::to_string(i + 1) + '"';
    }
    return text;
}

[[nodiscard]] std::string tasks_directives(std::uint32_t tasks, std::uint32_t cpus_per_task) {
    return directive("ntasks", std::to_string(tasks)) +
           (cpus_per_task > 1 ? directive("cpus-per-task", std::to_string(cpus_per_task)) : "");
}

[[nodiscard]] std::string directives(const std::vector<std::pair<std::string, std::string>>& options) {
    std::string text;
    for (const auto& [name, value] : options) text += directive(name, value);
    return text;
}

/// What a rank is, up to the end of the command.
[[nodiscard]] std::string rank_command(const SlurmJob& job) {
    std::string text = job.users_program.empty() ? "\"$penstock\" run" : "\"$program\"";
    text += " --runs-dir \"$runs_dir\"";
    if (!job.users_program.empty()) text += phase_words(job);  // the file is the last word
    for (const std::string& word : job.run_words) text += " " + shell_word(word);
    if (job.users_program.empty()) text += phase_words(job);
    return text;
}

[[nodiscard]] std::string srun_options(const SlurmJob& job, std::uint32_t tasks, std::uint32_t cpus_per_task) {
    std::string text;
    if (!job.mpi.empty()) text += " --mpi=" + shell_word(job.mpi);
    text += " --kill-on-bad-exit=0 --ntasks=" + std::to_string(tasks);
    if (!job.nodes.empty()) text += " --distribution=arbitrary";
    if (cpus_per_task > 1) text += " --cpus-per-task=" + std::to_string(cpus_per_task);
    return text;
}

/// One step over all parts: their ranks count on from each other.
[[nodiscard]] std::string srun_of_parts(const SlurmJob& job) {
    std::string text = "rank=(" + rank_command(job) + ")\nsrun";
    for (std::size_t i = 0; i < job.parts.size(); ++i) {
        const SlurmPart& part = job.parts[i];
        text += (i == 0 ? "" : " \\\n    :") + std::string{" --het-group="} + std::to_string(i) +
                srun_options(job, part.tasks, part.cpus_per_task);
        if (part.tasks_per_node > 0)
            text += " --distribution=block --ntasks-per-node=" + std::to_string(part.tasks_per_node);
        text += " \"${rank[@]}\"";
    }
    return text;
}

/// The long name of an option: what is decided by a name must see it however it is written. The letter if it has none.
[[nodiscard]] std::string name_of_letter(const std::string& letter) {
    constexpr std::array<std::pair<char, const char*>, 35> names{
        {{'A', "account"},       {'a', "array"},      {'B', "extra-node-info"},
         {'b', "begin"},         {'C', "constraint"}, {'c', "cpus-per-task"},
         {'D', "chdir"},         {'d', "dependency"}, {'e', "error"},
         {'F', "nodefile"},      {'G', "gpus"},       {'H', "hold"},
         {'h', "help"},          {'i', "input"},      {'J', "job-name"},
         {'k', "no-kill"},       {'L', "licenses"},   {'M', "clusters"},
         {'m', "distribution"},  {'N', "nodes"},      {'n', "ntasks"},
         {'O', "overcommit"},    {'o', "output"},     {'p', "partition"},
         {'Q', "quiet"},         {'q', "qos"},        {'S', "core-spec"},
         {'s', "oversubscribe"}, {'t', "time"},       {'u', "usage"},
         {'V', "version"},       {'v', "verbose"},    {'W', "wait"},
         {'w', "nodelist"},      {'x', "exclude"}}};
    const auto* const known =
        std::ranges::find(names, letter.empty() ? '\0' : letter[0], &std::pair<char, const char*>::first);
    return known == names.end() ? letter : known->second;
}

}  // namespace

std::string sbatch_script(const SlurmJob& job) {
    std::string text = "#!/bin/bash\n";
    text += directive("job-name", job.name);
    if (!job.parts.empty()) {
        text += tasks_directives(job.parts[0].tasks, job.parts[0].cpus_per_task);
    } else if (job.nodes.empty()) {
        text += tasks_directives(job.tasks, job.cpus_per_task);
    } else if (job.cpus_per_task > 1) {
        text += directive("cpus-per-task", std::to_string(job.cpus_per_task));
    }
    text += directive("chdir", job.directory);
    if (job.drain_time.count() > 0) text += directive("signal", "USR1@" + std::to_string(job.drain_time.count()));
    text += directives(job.options);
    for (std::size_t i = 0; i < job.parts.size(); ++i) {
        if (i > 0) text += "#SBATCH hetjob\n" + tasks_directives(job.parts[i].tasks, job.parts[i].cpus_per_task);
        text += directives(job.parts[i].options);
    }
    text += "# Made by penstock launch " + std::string{version} + ".\n";
    text += head;
    text += "\npenstock=" + shell_word(job.program) + "\n";
    if (!job.users_program.empty()) text += "program=" + shell_word(job.users_program) + "\n";
    text += "runs_dir=" + shell_word(job.runs_dir) + "\n";
    text += trap;
    text += find_earlier(job);
    if (!job.nodes.empty()) text += host_file(job);
    text += job.parts.empty()
                ? "srun" + srun_options(job, job.tasks, job.cpus_per_task) + " \\\n    " + rank_command(job)
                : srun_of_parts(job);
    text += tail;
    return text;
}

std::pair<std::string, std::string> sbatch_option(const std::string& text) {
    // An array would be several runs that one id stands for; the last ones make no job.
    constexpr std::array<std::string_view, 11> own{"ntasks", "chdir",     "signal", "parsable", "wait",   "wrap",
                                                   "array",  "test-only", "help",   "usage",    "version"};
    const bool is_short = text.size() >= 2 && text[0] == '-' && text[1] != '-';
    std::string name = text.starts_with("--") ? text.substr(2) : is_short ? text.substr(1) : text;
    std::string value;
    const auto end = is_short ? std::min<std::size_t>(1, name.size()) : std::min(name.find('='), name.size());
    value = name.substr(end);
    name.resize(end);
    if (value.starts_with('=') || value.starts_with(' ')) value.erase(0, 1);
    if (is_short) name = name_of_letter(name);
    const auto is_letter = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-'; };
    if (name.empty() || name[0] == '-' || !std::ranges::all_of(name, is_letter) || (!is_short && name.size() == 1)) {
        throw Error{Errc::invalid_input,
                    in_quotes(text) + " is no option of sbatch; write it as in --sbatch qos=high or --sbatch='-C gpu'"};
    }
    if (std::ranges::find(own, name) != own.end()) {
        throw Error{Errc::invalid_input, "the option " + in_quotes(name) +
                                             " of sbatch is penstock's own; see `penstock launch --help` for what "
                                             "can be set"};
    }
    return {name, value};
}

}  // namespace penstock
