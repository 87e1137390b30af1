// A graph that answers, START -> ping -> DONE, called from eight threads: ping [calls of each]
#include <chrono>
#include <cstdlib>
#include <future>
#include <iostream>
#include <vector>

#include <penstock/penstock.hpp>

using namespace std::chrono_literals;

/// @return how many answers were right.
int call_often(penstock::Runner& runner, int calls, double first) {
    int pongs = 0;
    for (int n = 0; n < calls; ++n) {
        auto ping = runner.draft<double>(1);
        ping[0] = first + n;
        const penstock::Payload pong = runner.call(std::move(ping), 10s);
        if (pong.view<double>()[0] == first + n + 0.5) ++pongs;
    }
    return pongs;
}

int main(int argc, char** argv) try {
    const int threads = 8;
    const int calls = argc > 1 ? std::atoi(argv[1]) : 1000;

    penstock::Graph graph{"ping"};
    graph.node("ping", [](const penstock::Payload& in, penstock::Output& out) {
        auto pong = out.draft<double>(1);
        pong[0] = in.view<double>()[0] + 0.5;
        out.emit(std::move(pong));
    });
    graph.edge("START", {}, "ping");
    graph.edge("DONE", "ping", {});

    penstock::Runner runner{graph};
    runner.serve();
    std::vector<std::future<int>> callers;
    for (int i = 0; i < threads; ++i) {
        callers.push_back(std::async(std::launch::async, call_often, std::ref(runner), calls, 1e6 * i));
    }
    int pongs = 0;
    for (auto& caller : callers) pongs += caller.get();
    const penstock::RunResult result = runner.stop();

    std::cout << pongs << " pongs for " << threads * calls << " pings\n";
    return result.exit_code;
} catch (const penstock::Error& error) {
    std::cerr << "ping: " << error.what() << '\n';
    return penstock::exit_code(error.code());
}
