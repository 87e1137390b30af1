#include <sstream>

#include <gmock/gmock.h>

#include <penstock/version.hpp>

#include "cli/man_page.hpp"
#include "cli/program.hpp"
#include "support/scratch_folder.hpp"

namespace penstock::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

struct Answer {
    int code;
    std::string out;
    std::string err;
};

[[nodiscard]] Answer man(std::vector<const char*> words) {
    words.insert(words.begin(), {"penstock", "man"});
    std::ostringstream out;
    std::ostringstream err;
    const int code = run_program(static_cast<int>(words.size()), words.data(), out, err);
    return {code, out.str(), err.str()};
}

TEST(RoffText, IsNeitherARequestNorAnEscape) {
    EXPECT_EQ(roff_text(".TH\n'br\na.b"), "\\&.TH\n\\&\\(aqbr\na.b");
    EXPECT_EQ(roff_text("\\fB"), "\\efB");
    EXPECT_EQ(roff_text("--json"), "\\-\\-json");
}

TEST(ManPage, OfTheProgramNamesItsCommandsAndTheirPages) {
    const Answer answer = man({});

    EXPECT_EQ(answer.code, 0);
    EXPECT_THAT(answer.out, StartsWith(".TH \"PENSTOCK\" \"1\" \"\" \"penstock " + std::string{version} + "\""));
    EXPECT_THAT(answer.out,
                AllOf(HasSubstr(".SH NAME\npenstock \\- Runs pipelines"), HasSubstr(".SH COMMANDS"),
                      HasSubstr("\\fBvalidate\\fR, \\fBcheck\\fR, \\fBlint\\fR"),
                      HasSubstr("\\fBpenstock\\-run\\fR(1)"), HasSubstr(".SH EXAMPLES\n.nf\npenstock run")));
}

TEST(ManPage, OfACommandHasItsArgumentsOptionsDefaultsExamplesAndExitCodes) {
    const Answer answer = man({"run"});

    EXPECT_EQ(answer.code, 0);
    for (const char* expected :
         {".SH NAME\npenstock\\-run \\- ", ".B penstock run\n[\\fIOPTIONS\\fR]\n\\fIFILE\\fR\n", ".SH ARGUMENTS",
          "\\fB\\-\\-launch\\fR \\fI{auto,local,mpi,pmix,tcp}\\fR\n", "default \\fBauto\\fR",
          "\\fB\\-\\-set\\fR \\fISTAGE.PARAM=VALUE\\fR ...", "\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "in [1 \\- 1048576]",
          ".SH EXAMPLES", ".SH EXIT CODES", ".SH SEE ALSO\n\\fBpenstock\\fR(1)"})
        EXPECT_THAT(answer.out, HasSubstr(expected));
}

TEST(ManPage, OfAnAliasIsThatOfTheCommand) {
    EXPECT_EQ(man({"lint"}).out, man({"validate"}).out);
}

TEST(ManPage, OfACommandBelowACommandHasBothNames) {
    EXPECT_THAT(man({"telemetry", "query"}).out, HasSubstr("penstock\\-telemetry\\-query \\- "));
    EXPECT_THAT(man({"telemetry"}).out, HasSubstr("\\fBpenstock\\-telemetry\\-query\\fR(1)"));
}

TEST(ManPage, OfAnUnknownCommandSaysWhichThereAre) {
    const Answer answer = man({"rnu"});

    EXPECT_EQ(answer.code, 2);
    EXPECT_THAT(answer.err, AllOf(HasSubstr("unknown command \"rnu\""), HasSubstr("run")));
    EXPECT_EQ(man({"telemetry", "none"}).code, 2);
}

TEST(ManPages, AreWrittenOneForEachCommand) {
    const test::ScratchFolder folder;

    EXPECT_EQ(man({"--output-dir", folder.path().c_str()}).code, 0);

    EXPECT_EQ(folder.read("penstock.1"), man({}).out);
    EXPECT_EQ(folder.read("penstock-run.1"), man({"run"}).out);
    EXPECT_THAT(folder.read("penstock-bench-stream-scaling.1"), HasSubstr("max\\-workers"));
    EXPECT_EQ(man({"--output-dir", "/no/such/folder"}).code, 2);
}

}  // namespace
}  // namespace penstock::cli
