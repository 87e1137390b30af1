#include "launch/slurm.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <vector>

#include <sys/wait.h>

#include "base/quote.hpp"
#include "launch/child_command.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

// Slurm's own commands give up on a controller that does not answer after some ten seconds.
constexpr auto longest_answer = 60s;
constexpr const char* job_fields = "State:|,Reason:|,exit_code:|,RestartCnt:|,NodeList:|";

[[nodiscard]] int number_of(std::string_view text) noexcept {
    int number = 0;
    std::from_chars(text.data(), text.data() + text.size(), number);
    return number;
}

/// Of a wait status, as Slurm keeps it: 138 << 8 for exit code 138, 9 for a process that signal 9 has killed.
[[nodiscard]] int exit_code_of(int status) noexcept {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/// What a command of Slurm says, without its own name before each line, in one line.
[[nodiscard]] std::string said(const CommandAnswer& answer) {
    std::string text;
    std::size_t at = 0;
    while (at < answer.err.size()) {
        const std::size_t end = std::min(answer.err.find('\n', at), answer.err.size());
        std::string_view line{answer.err.data() + at, end - at};
        at = end + 1;
        for (const std::string_view name : {"sbatch: ", "error: ", "fatal: "}) {
            if (line.starts_with(name)) line.remove_prefix(name.size());
        }
        if (!line.empty()) text.append(text.empty() ? "" : "; ").append(line);
    }
    return text.empty() ? "nothing, with exit code " + std::to_string(answer.exit_code) : text;
}

[[nodiscard]] std::string remedy_for(Errc code) {
    switch (code) {
        case Errc::disconnected: return "is the cluster up (`sinfo`), and SLURM_CONF right?";
        case Errc::exhausted: return "wait until jobs of yours have ended, or ask for less";
        case Errc::timed_out: return "try again when the controller has less to do";
        default: return "`penstock launch --print` shows what was asked for, `sinfo` what there is";
    }
}

[[nodiscard]] CommandAnswer sbatch(std::vector<std::string> words, const std::string& script) {
    auto answer = answer_of(words, script, longest_answer);
    if (answer.exit_code == 0) return answer;
    const std::string message = said(answer);
    const Errc code = errc_of_sbatch(message);
    throw Error{code, "sbatch refuses the job: " + message + "; " + remedy_for(code)};
}

/// Of the cluster that this machine belongs to; empty if that is not said. @throws Error if Slurm does not answer.
[[nodiscard]] std::string cluster_here() {
    const auto answer = answer_of({"scontrol", "show", "config"}, {}, longest_answer);
    if (answer.exit_code != 0) throw Error{Errc::disconnected, "scontrol cannot tell of the cluster: " + said(answer)};
    constexpr std::string_view key = "ClusterName";
    const auto at = answer.out.find(std::string{"\n"} + std::string{key});
    if (at == std::string::npos) return {};
    const auto line = answer.out.substr(at + 1, answer.out.find('\n', at + 1) - at - 1);
    const auto value = line.find_first_not_of(" =", key.size());
    return value == std::string::npos ? "" : line.substr(value);
}

}  // namespace

bool SlurmJobState::is_over() const noexcept {
    constexpr std::array<std::string_view, 10> last{"BOOT_FAIL", "CANCELLED",     "COMPLETED", "DEADLINE", "FAILED",
                                                    "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",  "TIMEOUT"};
    return std::ranges::find(last, state) != last.end();
}

bool SlurmJobState::can_never_start() const noexcept {
    return state == "PENDING" && reason == "DependencyNeverSatisfied";
}

bool is_job_id(std::string_view text) noexcept {
    return !text.empty() && text.size() <= 10 &&
           std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

bool has_slurm() {
    return find_program("sbatch").has_value();
}

std::string submit_job(const std::string& script) {
    std::string id = sbatch({"sbatch", "--parsable"}, script).out;
    id.resize(std::min(id.find_first_of(";\n"), id.size()));  // "12;cluster"
    if (!is_job_id(id)) throw Error{Errc::internal, "sbatch answers " + in_quotes(id) + " instead of the id of a job"};
    return id;
}

void cancel_job(const std::string& id) {
    const auto answer = answer_of({"scancel", id}, {}, longest_answer);
    if (answer.exit_code != 0) throw Error{Errc::disconnected, "scancel cannot end job " + id + ": " + said(answer)};
}

std::string try_job(const std::string& script) {
    return said(sbatch({"sbatch", "--test-only"}, script));
}

std::optional<SlurmJobState> look_at_job(const std::string& id) {
    const auto answer =
        answer_of({"squeue", "-h", "-S", "i", "-t", "all", "-j", id, "-O", job_fields}, {}, longest_answer);
    if (answer.exit_code == 0) return parse_job_state(answer.out);
    if (answer.err.find("Invalid job id") != std::string::npos) return std::nullopt;
    throw Error{Errc::disconnected, "squeue cannot tell of job " + id + ": " + said(answer)};
}

std::optional<int> part_of_job(const std::string& id, const std::string& node) {
    const auto parts =
        answer_of({"squeue", "-h", "-S", "i", "-j", id, "-O", "HetJobOffset:|,NodeList:|"}, {}, longest_answer);
    std::string_view lines = parts.out;
    while (!lines.empty()) {
        const auto end = std::min(lines.find('\n'), lines.size());
        const std::string_view line = lines.substr(0, end);
        lines.remove_prefix(std::min(end + 1, lines.size()));
        const auto bar = line.find('|');
        if (bar == std::string_view::npos || !is_job_id(line.substr(0, bar))) continue;  // "N/A" of a job of one part
        const std::string list{line.substr(bar + 1, line.find('|', bar + 1) - bar - 1)};
        const auto names = answer_of({"scontrol", "show", "hostnames", list}, {}, longest_answer).out;
        if (("\n" + names).find("\n" + node + "\n") != std::string::npos) return number_of(line);
    }
    return std::nullopt;
}

std::string SlurmAnswers::ask(const SlurmAttempt& attempt) {
    if (!cluster_) cluster_ = cluster_here();
    if (attempt.cluster != *cluster_) return {};
    const auto job = look_at_job(std::string{attempt.job});
    if (!job) return "has ended";
    if (job->is_over()) return "has ended (" + job->state + ")";
    return job->restarts > attempt.restart ? "was requeued" : "";
}

std::string SlurmAnswers::end_of(const SlurmAttempt& attempt) noexcept {
    try {
        if (!is_job_id(attempt.job) || !find_program("squeue")) return {};
        Answer& answer = answers_[std::string{attempt.job} + " " + std::to_string(attempt.restart) + " " +
                                  std::string{attempt.cluster}];
        const auto now = SteadyClock::now();
        if (now < answer.until || now < asked_again_at_) return answer.end;
        answer = {.end = ask(attempt), .until = SteadyClock::now() + kept};
        return answer.end;
    } catch (const std::exception&) {
        asked_again_at_ = SteadyClock::now() + left_alone;
        return {};
    }
}

Errc errc_of_sbatch(std::string_view message) noexcept {
    struct Sign {
        std::string_view text;
        Errc code;
    };
    constexpr std::array signs{Sign{"Unable to contact", Errc::disconnected},
                               Sign{"Connection refused", Errc::disconnected},
                               Sign{"Could not establish a configuration source", Errc::disconnected},
                               Sign{"Unable to process configuration", Errc::disconnected},
                               Sign{"munge", Errc::disconnected},
                               Sign{"authentication", Errc::disconnected},
                               Sign{"timed out", Errc::timed_out},
                               Sign{"violates accounting/QOS policy", Errc::exhausted},
                               Sign{"Slurm temporarily unable to accept job", Errc::exhausted}};
    const auto found = std::ranges::find_if(
        signs, [&](const Sign& sign) { return message.find(sign.text) != std::string_view::npos; });
    return found == signs.end() ? Errc::invalid_input : found->code;
}

std::optional<SlurmJobState> parse_job_state(std::string_view line) {
    std::array<std::string_view, 5> fields;
    for (std::string_view& field : fields) {
        const auto end = line.find('|');
        if (end == std::string_view::npos) return std::nullopt;
        field = line.substr(0, end);
        line.remove_prefix(end + 1);
    }
    return SlurmJobState{.state = std::string{fields[0]},
                         .reason = std::string{fields[1]},
                         .exit_code = exit_code_of(number_of(fields[2])),
                         .restarts = number_of(fields[3]),
                         .nodes = std::string{fields[4]}};
}

}  // namespace penstock
