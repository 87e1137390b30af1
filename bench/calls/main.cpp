#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/runner.hpp>

#include "limits/measure.hpp"

/// Round trips through a graph of one node that hands payloads on, next to a byte that goes the same way through pipes:
/// from the caller to START, to the node, to DONE and back, each asleep until it is woken.
///
///   bench_calls [--seconds S] [--idle adaptive|spin|block] [--json FILE]
namespace penstock::bench {
namespace {

using namespace std::chrono_literals;

/// A byte through four pipes and three processes.
class PipeCircle {
public:
    PipeCircle() {
        for (auto& ends : pipes_) {
            if (pipe(ends.data()) != 0) throw std::runtime_error{"no pipe"};
        }
        for (std::size_t i = 0; i < children_.size(); ++i) {
            children_[i] = fork();
            if (children_[i] < 0) throw std::runtime_error{"no process"};
            if (children_[i] == 0) relay(pipes_[i][0], pipes_[i + 1][1]);
        }
    }
    ~PipeCircle() {
        for (const pid_t child : children_) {
            kill(child, SIGKILL);
            waitpid(child, nullptr, 0);
        }
        for (const auto& ends : pipes_) {
            close(ends[0]);
            close(ends[1]);
        }
    }
    PipeCircle(const PipeCircle&) = delete;
    PipeCircle& operator=(const PipeCircle&) = delete;

    void go_round() const {
        char byte = 1;
        if (write(pipes_.front()[1], &byte, 1) != 1 || read(pipes_.back()[0], &byte, 1) != 1) {
            throw std::runtime_error{"a pipe broke"};
        }
    }

private:
    [[noreturn]] static void relay(int from, int to) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        char byte = 0;
        while (read(from, &byte, 1) == 1 && write(to, &byte, 1) == 1) {
        }
        _exit(0);
    }

    std::array<std::array<int, 2>, 4> pipes_{};
    std::array<pid_t, 3> children_{};
};

struct Latency {
    double p50_us;
    double p99_us;
};

template <class Trip>
[[nodiscard]] Latency latency_of(double seconds, const Trip& trip) {
    for (int i = 0; i < 100; ++i) trip();
    std::vector<double> times;
    const std::int64_t end = now_ns() + static_cast<std::int64_t>(seconds * 1e9);
    for (std::int64_t before = now_ns(); before < end;) {
        trip();
        const std::int64_t after = now_ns();
        times.push_back(static_cast<double>(after - before) * 1e-3);
        before = after;
    }
    return {percentile(times, 50), percentile(times, 99)};
}

[[nodiscard]] RawDraft question(Runner& runner, std::size_t size_bytes) {
    auto draft = runner.draft<std::byte>(size_bytes);
    draft[0] = std::byte{1};
    return draft;
}

[[nodiscard]] double rate_of_threads(Runner& runner, std::size_t size_bytes, int threads, double seconds) {
    const std::uint64_t before = runner.counts().answered;
    const std::int64_t start = now_ns();
    const std::int64_t end = start + static_cast<std::int64_t>(seconds * 1e9);
    std::vector<std::thread> callers;
    for (int i = 0; i < threads; ++i) {
        callers.emplace_back([&] {
            while (now_ns() < end) static_cast<void>(runner.call(question(runner, size_bytes), 60s));
        });
    }
    for (std::thread& caller : callers) caller.join();
    return static_cast<double>(runner.counts().answered - before) / (static_cast<double>(now_ns() - start) * 1e-9);
}

/// One thread with that many calls in flight.
[[nodiscard]] double rate_in_flight(Runner& runner, std::size_t size_bytes, std::size_t in_flight, double seconds) {
    std::deque<PendingCall> pending;
    SteadyRate rate{seconds};
    std::uint64_t answered = 0;
    while (!rate.is_over(answered)) {
        while (pending.size() < in_flight) {
            pending.push_back(runner.async_call(question(runner, size_bytes), 60s));
        }
        static_cast<void>(pending.front().get());
        pending.pop_front();
        ++answered;
    }
    return rate.per_second();
}

void run(int argc, char** argv) {
    Report report{take_option(argc, argv, "--json")};
    const double seconds = std::stod(take_option(argc, argv, "--seconds", "1"));
    const std::string idle = take_option(argc, argv, "--idle", "adaptive");
    if (argc > 1) throw std::runtime_error{"unknown argument '" + std::string{argv[1]} + "'"};

    const Latency limit = [&] {
        const PipeCircle circle;
        return latency_of(seconds, [&] { circle.go_round(); });
    }();

    std::string folder = (std::filesystem::temp_directory_path() / "penstock-calls-XXXXXX").string();
    if (mkdtemp(folder.data()) == nullptr) throw std::runtime_error{"no directory like " + folder};
    Graph graph{"calls"};
    graph.node("pass", "pass");
    graph.edge("START", {}, "pass");
    graph.edge("DONE", "pass", {});
    RunnerOptions options;
    options.run.runs_dir = folder;
    options.run.idle = idle == "spin" ? Idle::spin : idle == "block" ? Idle::block : Idle::adaptive;
    Runner runner{graph, options};
    runner.serve();
    for (const std::size_t size : {std::size_t{64}, std::size_t{1} << 20U}) {
        const Latency latency =
            latency_of(seconds, [&] { static_cast<void>(runner.call(question(runner, size), 60s)); });
        report.add({"calls", "call", size, latency.p50_us, "us p50", limit.p50_us});
        report.add({"calls", "call", size, latency.p99_us, "us p99", limit.p99_us});
        for (const int threads : {1, 8}) {
            report.add({"calls",
                        "call, " + std::to_string(threads) + " threads",
                        size,
                        rate_of_threads(runner, size, threads, seconds),
                        "call/s",
                        {}});
        }
        report.add(
            {"calls", "async_call, 32 in flight", size, rate_in_flight(runner, size, 32, seconds), "call/s", {}});
    }
    const RunResult result = runner.stop();
    std::filesystem::remove_all(folder);
    if (result.exit_code != 0) throw std::runtime_error{result.error};
    report.finish();
}

}  // namespace
}  // namespace penstock::bench

int main(int argc, char** argv) {
    return penstock::bench::run_bench("bench_calls", argc, argv, penstock::bench::run);
}
