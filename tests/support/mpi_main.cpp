// The main() of tests that run under mpiexec: every rank runs every test.

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "support/mpi_test.hpp"

namespace penstock::testing {
namespace {

constexpr unsigned watchdog_s = 100;
constexpr std::chrono::seconds collective_timeout{30};

MpiWorld* the_world = nullptr;

/// What ranks other than the first print: their failures.
class FailurePrinter final : public ::testing::EmptyTestEventListener {
public:
    explicit FailurePrinter(Rank rank) : rank_{rank} {}

private:
    // Remembered: GoogleTest must not be asked while it reports a result.
    void OnTestStart(const ::testing::TestInfo& test) override {
        test_ = std::string{test.test_suite_name()} + "." + test.name();
    }
    void OnTestPartResult(const ::testing::TestPartResult& result) override {
        if (!result.failed()) return;
        const char* file = result.file_name() != nullptr ? result.file_name() : "";
        std::fprintf(stderr, "rank %u: %s: %s:%d: %s\n", rank_, test_.c_str(), file, result.line_number(),
                     result.summary());
    }

    Rank rank_;
    std::string test_;
};

void on_watchdog(int) {
    // Only what a signal handler may do. The launcher ends the other ranks.
    constexpr std::string_view text = "watchdog: a test did not end within 100 s; the job is ended\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
    _exit(124);
}

int run(int argc, char** argv) {
    ::testing::InitGoogleMock(&argc, argv);
    MpiWorld job{collective_timeout};
    the_world = &job;
    if (job.rank() != 0) {
        auto& listeners = ::testing::UnitTest::GetInstance()->listeners();
        delete listeners.Release(listeners.default_result_printer());
        listeners.Append(new FailurePrinter{job.rank()});
    }
    const std::string mine = RUN_ALL_TESTS() == 0 ? "ok" : "failed";
    const auto all = job.allgather(mine);
    return std::all_of(all.begin(), all.end(), [](const std::string& result) { return result == "ok"; }) ? 0 : 1;
}

}  // namespace

MpiWorld& world() {
    return *the_world;
}

}  // namespace penstock::testing

int main(int argc, char** argv) {
    std::signal(SIGALRM, penstock::testing::on_watchdog);
    alarm(penstock::testing::watchdog_s);
    try {
        return penstock::testing::run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
}
