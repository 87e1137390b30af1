#include "launch/threshold_file.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "error_of.hpp"
#include "support/scratch_folder.hpp"
#include "transports/make.hpp"

namespace penstock {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

/// Of a transport that every build could have; the test does without where it has none.
[[nodiscard]] std::string built_transport() {
    for (const char* name : {"mpi", "ucx", "ofi"}) {
        if (threshold_range(name)->most != Thresholds{}) return name;
    }
    return {};
}

class Thresholdfile : public testing::Test {
protected:
    void SetUp() override {
        transport = built_transport();
        if (transport.empty()) GTEST_SKIP() << "no transport with thresholds in this build";
        some = threshold_range(transport)->built_in;
        some.inline_bytes = 300;
    }

    [[nodiscard]] std::string text(const std::string& replaced = "", const std::string& by = "") const {
        ThresholdFile file;
        file.put({.transport = transport, .measured_for = "here", .thresholds = some});
        std::string json = file.text();
        if (!replaced.empty()) json.replace(json.find(replaced), replaced.size(), by);
        return json;
    }
    [[nodiscard]] std::string problem_of(const std::string& json) const {
        return error_of([&] { ThresholdFile{json, "t.json"}; }).what();
    }
    [[nodiscard]] std::string write(const std::string& json, mode_t mode = 0600) const {
        std::string path = folder.path("t.json");
        std::ofstream{path} << json;
        ::chmod(path.c_str(), mode);
        return path;
    }

    test::ScratchFolder folder;
    std::string transport;
    Thresholds some;
};

TEST_F(Thresholdfile, ReadsWhatItWrites) {
    const ThresholdFile file{text(), "t.json"};

    EXPECT_EQ(file.find(transport, "here"), some);
    EXPECT_EQ(file.find(transport, "there"), std::nullopt);
    EXPECT_EQ(file.text(), text());
}

TEST_F(Thresholdfile, KeepsTheEntriesOfOtherSystems) {
    const std::string path = folder.path("deep/t.json");
    const Thresholds built_in = threshold_range(transport)->built_in;

    EXPECT_EQ(save_thresholds(path, {{transport, "here", some}, {transport, "there", some}}), "");
    EXPECT_EQ(save_thresholds(path, {{transport, "here", built_in}}), "");

    const ThresholdFile file = find_thresholds({.path = path}).file;
    EXPECT_EQ(file.find(transport, "here"), built_in);
    EXPECT_EQ(file.find(transport, "there"), some);
}

TEST_F(Thresholdfile, SaysWhichLineIsWrongAndWhatToDo) {
    EXPECT_THAT(problem_of(text("300", "3000000")),
                AllOf(HasSubstr("t.json:8: /transports/0/thresholds/inline_bytes"), HasSubstr("penstock tune")));
    EXPECT_THAT(problem_of(text("300", "255")), HasSubstr("inline_bytes"));
    EXPECT_THAT(problem_of(text("300", "-300")), HasSubstr("inline_bytes"));
    EXPECT_THAT(problem_of(text("300", "300.5")), HasSubstr("inline_bytes"));
    EXPECT_THAT(problem_of(text("300", "\"300\"")), HasSubstr("inline_bytes"));
    EXPECT_THAT(problem_of(text("300", "18446744073709551616")), HasSubstr("t.json:8"));
    EXPECT_THAT(problem_of(text("inline_bytes", "window")), AllOf(HasSubstr("window"), HasSubstr("inline_bytes")));
    EXPECT_THAT(problem_of(text('"' + transport + '"', "\"shm\"")), HasSubstr("\"shm\" is no transport"));
    EXPECT_THAT(problem_of(text("_format\": 1", "_format\": 2")), HasSubstr("thresholds_format"));
}

TEST_F(Thresholdfile, RefusesWhatIsNoSuchFile) {
    for (const char* json :
         {"", "{", "[]", "null", "{}", "{\"thresholds_format\": 1}", "\xff\xfe",
          R"({"thresholds_format": 1, "transports": {}})", R"({"thresholds_format": 1, "transports": [1]})",
          R"({"thresholds_format": 1, "transports": [{"transport": 7}]})",
          R"({"thresholds_format": 1, "transports": [{"transport": "mpi", "measured_for": "x"}]})"}) {
        EXPECT_THAT(problem_of(json), HasSubstr("t.json")) << json;
    }
    EXPECT_THAT(problem_of(std::string(100'000, '[')), HasSubstr("t.json"));
    // Every part of a sound file is none.
    const std::string sound = text();
    for (std::size_t length = 0; length + 2 < sound.size(); ++length) {
        EXPECT_THAT(problem_of(sound.substr(0, length)), Not(IsEmpty())) << length;
    }
}

TEST_F(Thresholdfile, IsNotTrustedIfOthersMayWriteToIt) {
    const std::string path = write(text(), 0622);

    EXPECT_THAT(error_of([&] { static_cast<void>(find_thresholds({.path = path, .is_named = true})); }).what(),
                AllOf(HasSubstr(path), HasSubstr("chmod go-w")));
    EXPECT_THAT(find_thresholds({.path = path}).warning, HasSubstr("chmod go-w"));
    EXPECT_THAT(find_thresholds({.path = path}).file.path(), IsEmpty());
}

TEST_F(Thresholdfile, IsNoFolderAndNoPipe) {
    EXPECT_THAT(find_thresholds({.path = folder.path()}).warning, HasSubstr("no regular file"));
    const std::string pipe = folder.path("pipe");
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_THAT(find_thresholds({.path = pipe}).warning, HasSubstr("no regular file"));
}

TEST_F(Thresholdfile, MustBeThereOnlyIfItIsNamed) {
    const std::string path = folder.path("none.json");

    EXPECT_THAT(find_thresholds({.path = path}).warning, IsEmpty());
    EXPECT_THAT(error_of([&] { static_cast<void>(find_thresholds({.path = path, .is_named = true})); }).what(),
                HasSubstr("PENSTOCK_TUNING"));
}

TEST_F(Thresholdfile, ABrokenOneIsReplacedAndThatIsSaid) {
    const std::string path = write("broken");

    EXPECT_THAT(save_thresholds(path, {{transport, "here", some}}), StartsWith("what was there is replaced"));
    EXPECT_EQ(find_thresholds({.path = path}).file.find(transport, "here"), some);
}

TEST(Thresholds, CrossAnExchange) {
    const Thresholds all{.inline_bytes = 1, .coalesced_bytes = 22, .chunk_bytes = 0, .in_flight = 4294967295U};

    EXPECT_EQ(decode_thresholds(encode(all)), all);
    for (const char* text : {"", " ", "1", "1 2 3 4", "1 2 3 4 5 ", "1 2 3 -4 ", "1 2 3 4294967296 ", "a b c d "}) {
        EXPECT_EQ(decode_thresholds(text), std::nullopt) << text;
    }
}

TEST(Thresholds, WhatIsBuiltInIsWithinTheRange) {
    for (const char* name : {"ucx", "ofi", "mpi"}) {
        const ThresholdRange* range = threshold_range(name);
        ASSERT_NE(range, nullptr);
        EXPECT_TRUE(range->holds(range->built_in)) << name;
    }
    EXPECT_EQ(threshold_range("shm"), nullptr);
}

}  // namespace
}  // namespace penstock
