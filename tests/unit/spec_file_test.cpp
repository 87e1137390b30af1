#include <filesystem>
#include <fstream>
#include <string>

#include <gmock/gmock.h>
#include <unistd.h>

#include <penstock/error.hpp>
#include <penstock/spec.hpp>

#include "unit/error_of.hpp"

namespace penstock {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class PipelineFile : public testing::Test {
protected:
    void SetUp() override {
        std::string pattern = (fs::temp_directory_path() / "penstock-spec-XXXXXX").string();
        ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
        directory = pattern;
    }
    void TearDown() override { fs::remove_all(directory); }

    [[nodiscard]] std::string write(const std::string& name, const std::string& text) const {
        const auto path = (directory / name).string();
        std::ofstream{path, std::ios::binary} << text;
        return path;
    }
    static std::string message_for(const std::string& path) {
        const auto error = error_of([&] { static_cast<void>(load_pipeline(path)); });
        EXPECT_EQ(error.code(), Errc::invalid_input);
        return error.what();
    }

    fs::path directory;
};

TEST_F(PipelineFile, IsLoadedAndRemembersItsFile) {
    const auto path = write("two.json", R"({"stages": [{"name": "a", "operator": "x"}], "channels": []})");

    const auto spec = load_pipeline(path);

    EXPECT_EQ(spec.name, "two");
    EXPECT_EQ(spec.file, path);
    EXPECT_EQ(spec.stages[0].where, path + ":1: /stages/0");
}

TEST_F(PipelineFile, ThatIsMissingIsNamed) {
    EXPECT_THAT(message_for((directory / "no.json").string()), AllOf(HasSubstr("no.json"), HasSubstr("no such file")));
}

TEST_F(PipelineFile, WithoutItsSuffixIsSuggested) {
    const auto path = write("demo.json", "{}");

    EXPECT_THAT(message_for((directory / "demo").string()), HasSubstr("did you mean \"" + path));
}

TEST_F(PipelineFile, ThatIsADirectoryIsRefused) {
    EXPECT_THAT(message_for(directory.string()), HasSubstr("it is a directory"));
}

TEST_F(PipelineFile, ThatMayNotBeReadIsRefused) {
    if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
    const auto path = write("secret.json", "{}");
    fs::permissions(path, fs::perms::none);

    EXPECT_THAT(message_for(path), HasSubstr("Permission denied"));
}

TEST_F(PipelineFile, ThatNeverEndsIsRefused) {
    EXPECT_THAT(message_for("/dev/zero"), HasSubstr("is larger than 16 MiB"));
}

TEST_F(PipelineFile, ThatIsEmptyIsRefused) {
    EXPECT_THAT(message_for(write("empty.json", "")), HasSubstr("is empty"));
}

class CheckedFile : public testing::TestWithParam<fs::path> {};

std::vector<fs::path> files_in(const std::string& folder) {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator{folder}) {
        const auto name = entry.path().filename().string();
        if (name.ends_with(".json") && name != "pipeline.schema.json") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

std::string file_name(const testing::TestParamInfo<fs::path>& file) {
    auto name = file.param.stem().string();
    std::ranges::replace(name, '-', '_');
    return name;
}

// spec_schema_test.py holds the schema against the same files.
using GoodFile = CheckedFile;
TEST_P(GoodFile, IsAccepted) {
    EXPECT_FALSE(load_pipeline(GetParam().string()).stages.empty());
}
INSTANTIATE_TEST_SUITE_P(Jobs, GoodFile, testing::ValuesIn(files_in(PENSTOCK_SOURCE_DIR "/jobs")), file_name);
INSTANTIATE_TEST_SUITE_P(Tests, GoodFile, testing::ValuesIn(files_in(PENSTOCK_SOURCE_DIR "/tests/unit/pipelines/good")),
                         file_name);

class BadFile : public CheckedFile {};
TEST_P(BadFile, IsRefused) {
    const auto error = error_of([] { static_cast<void>(load_pipeline(GetParam().string())); });

    EXPECT_THAT(error.what(), HasSubstr(GetParam().string() + ":"));
}
INSTANTIATE_TEST_SUITE_P(Tests, BadFile, testing::ValuesIn(files_in(PENSTOCK_SOURCE_DIR "/tests/unit/pipelines/bad")),
                         file_name);

}  // namespace
}  // namespace penstock
