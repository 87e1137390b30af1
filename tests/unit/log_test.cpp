#include "base/log.hpp"

#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <limits>
#include <regex>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/resource.h>
#include <sys/stat.h>

#include <penstock/error.hpp>

namespace penstock {
namespace {

using testing::internal::CaptureStderr;
using testing::internal::GetCapturedStderr;

class Log : public testing::Test {
protected:
    Log() {
        std::string name = testing::TempDir() + "penstock-log-XXXXXX";
        directory_ = mkdtemp(name.data());
    }
    ~Log() override { std::filesystem::remove_all(directory_); }

    [[nodiscard]] LogOptions to_file() const { return {.label = "producer.0", .jsonl_path = path(), .human = false}; }
    [[nodiscard]] std::string path() const { return directory_ + "/log.jsonl"; }
    [[nodiscard]] std::vector<nlohmann::json> lines() const {
        std::vector<nlohmann::json> parsed;
        std::ifstream file{path()};
        for (std::string line; std::getline(file, line);) parsed.push_back(nlohmann::json::parse(line));
        return parsed;
    }

private:
    std::string directory_;
};

TEST_F(Log, WritesALineForPeople) {
    const auto logger = make_logger({.label = "producer.0"});

    CaptureStderr();
    logger->info("Sent batch 10/100");

    EXPECT_TRUE(
        std::regex_match(GetCapturedStderr(), std::regex{R"(\d\d:\d\d:\d\d\.\d{3} producer\.0  Sent batch 10/100\n)"}));
}

TEST_F(Log, ShowsTheLevelFromWarnOn) {
    const auto logger = make_logger({.label = "x"});

    CaptureStderr();
    logger->warn("careful");
    logger->error("broken");

    const std::string text = GetCapturedStderr();
    EXPECT_THAT(text, testing::HasSubstr("x  warn: careful\n"));
    EXPECT_THAT(text, testing::HasSubstr("x  error: broken\n"));
}

TEST_F(Log, ClearsTheLineAndColoursTheLevelOnATerminalOnly) {
    CaptureStderr();
    make_logger({.label = "x", .terminal = true})->error("broken");
    EXPECT_THAT(GetCapturedStderr(),
                testing::AllOf(testing::StartsWith("\r\033[K"), testing::HasSubstr("\033[31merror: \033[0mbroken")));

    CaptureStderr();
    make_logger({.label = "x"})->error("broken");
    EXPECT_THAT(GetCapturedStderr(), testing::Not(testing::HasSubstr("\033")));
}

TEST_F(Log, TakesBracesLiterally) {
    const auto logger = make_logger({.label = "x"});

    CaptureStderr();
    logger->info("{} {0} %v %n");

    EXPECT_THAT(GetCapturedStderr(), testing::HasSubstr("{} {0} %v %n\n"));
}

TEST_F(Log, DropsLinesBelowItsLevel) {
    auto options = to_file();
    options.level = LogLevel::warn;
    const auto logger = make_logger(options);

    logger->info("no");
    logger->debug("no");
    logger->warn("yes");

    ASSERT_EQ(lines().size(), 1U);
    EXPECT_EQ(lines()[0]["message"], "yes");
}

TEST_F(Log, WritesFieldsAsJson) {
    make_logger(to_file())->error("broken", {{"count", std::int64_t{-3}},
                                             {"rate", 1.5},
                                             {"final", true},
                                             {"where", std::string_view{"here"}},
                                             {"nothing", std::numeric_limits<double>::quiet_NaN()}});

    ASSERT_EQ(lines().size(), 1U);
    const auto line = lines()[0];
    EXPECT_EQ(line["level"], "error");
    EXPECT_EQ(line["label"], "producer.0");
    EXPECT_EQ(line["message"], "broken");
    EXPECT_EQ(line["count"], -3);
    EXPECT_EQ(line["rate"], 1.5);
    EXPECT_EQ(line["final"], true);
    EXPECT_EQ(line["where"], "here");
    EXPECT_TRUE(line["nothing"].is_null());
    EXPECT_TRUE(
        std::regex_match(line["time"].get<std::string>(), std::regex{R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z)"}));
}

TEST_F(Log, KeepsItsOwnFieldsWhenAnotherHasTheSameName) {
    make_logger(to_file())->info("text", {{"message", std::string_view{"other"}}, {"level", std::int64_t{1}}});

    EXPECT_EQ(lines()[0]["message"], "text");
    EXPECT_EQ(lines()[0]["level"], "info");
}

TEST_F(Log, EscapesWhatIsNoTextAndReplacesWhatIsNoUtf8) {
    make_logger(to_file())->info("a\"b\\c\nd\x01 \xff\xc3(", {{"k\xfe", std::string_view{"v\x80"}}});

    ASSERT_EQ(lines().size(), 1U);
    EXPECT_EQ(lines()[0]["message"], "a\"b\\c\nd\x01 \uFFFD\uFFFD(");
    EXPECT_EQ(lines()[0]["k\uFFFD"], "v\uFFFD");
}

TEST_F(Log, AppendsToAFileThatOnlyTheOwnerReads) {
    make_logger(to_file())->info("first");
    make_logger(to_file())->info("second");

    struct stat status {};
    ASSERT_EQ(stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
    ASSERT_EQ(lines().size(), 2U);
    EXPECT_EQ(lines()[1]["message"], "second");
}

TEST_F(Log, RefusesAFileItCannotOpen) {
    auto options = to_file();
    options.jsonl_path = path() + "/missing/log.jsonl";

    try {
        const auto logger = make_logger(options);
        FAIL() << "no error";
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::invalid_input);
        EXPECT_THAT(error.what(), testing::HasSubstr("cannot open the log file"));
    }
}

TEST_F(Log, DropsAndCountsLinesOnAFullDiskAndSaysSoOnce) {
    CaptureStderr();
    {
        auto options = to_file();
        options.jsonl_path = "/dev/full";
        const auto logger = make_logger(options);
        for (int i = 0; i < 3; ++i) logger->info("line");
    }

    const std::string text = GetCapturedStderr();
    EXPECT_THAT(text, testing::StartsWith("penstock: cannot write the log \"/dev/full\": No space left on device"));
    EXPECT_THAT(text, testing::EndsWith("penstock: 3 lines are missing in the log \"/dev/full\"\n"));
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2);
}

TEST_F(Log, LeavesNoHalfLineWhenTheDiskFillsUp) {
    const auto logger = make_logger(to_file());
    logger->info("whole");
    const auto whole = std::filesystem::file_size(path());
    const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
    rlimit old_limit{};
    getrlimit(RLIMIT_FSIZE, &old_limit);
    const rlimit tight{whole + 10, old_limit.rlim_max};

    CaptureStderr();
    setrlimit(RLIMIT_FSIZE, &tight);
    logger->info("too long for what is left");
    setrlimit(RLIMIT_FSIZE, &old_limit);
    std::signal(SIGXFSZ, old_action);

    EXPECT_THAT(GetCapturedStderr(), testing::HasSubstr("File too large"));
    EXPECT_EQ(std::filesystem::file_size(path()), whole);
}

TEST_F(Log, KeepsLinesOfSeveralThreadsApart) {
    const auto logger = make_logger(to_file());
    const auto write_many = [&](const std::string& text) {
        for (int i = 0; i < 500; ++i) logger->info(text);
    };

    std::thread other{write_many, std::string(300, 'a')};
    write_many(std::string(300, 'b'));
    other.join();

    const auto written = lines();
    EXPECT_EQ(written.size(), 1000U);
    for (const auto& line : written)
        EXPECT_EQ(line["message"].get<std::string>().find_first_not_of(line["message"].get<std::string>()[0]),
                  std::string::npos);
}

}  // namespace
}  // namespace penstock
