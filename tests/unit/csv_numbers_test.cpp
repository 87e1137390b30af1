#include "operators/csv_numbers.hpp"

#include <array>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "support/scratch_folder.hpp"

namespace penstock {
namespace {

std::string printed(const char* form, double value) {
    char text[400];
    return {text, static_cast<std::size_t>(std::snprintf(text, sizeof text, form, value))};
}

/// Texts that are hard to read, or no numbers.
const std::vector<std::string> hard_texts{"0",
                                          "-0",
                                          "0.0",
                                          "-0.0",
                                          "1",
                                          "-1",
                                          "1.",
                                          ".5",
                                          "-.5",
                                          "-5.",
                                          ".",
                                          "-",
                                          "-.",
                                          "",
                                          "+1",
                                          "--1",
                                          "1-",
                                          "1..2",
                                          "1.2.3",
                                          "0x10",
                                          "1e5",
                                          "1E-5",
                                          "1e",
                                          "e5",
                                          "nan",
                                          "-nan",
                                          "NaN",
                                          "inf",
                                          "-inf",
                                          "infinity",
                                          "1e308",
                                          "1e309",
                                          "-1e309",
                                          "4.9e-324",
                                          "2e-324",
                                          "1e-400",
                                          "9007199254740993",
                                          "9007199254740992.5",
                                          "9999999999999999",
                                          "-999999999999999",
                                          "1234567890123456",
                                          "123456789012345.6",
                                          "0.1234567890123456",
                                          "0.00000000000001",
                                          "-0.0000000000001",
                                          "00000000000001.5",
                                          "2.2250738585072011e-308",
                                          "1.7976931348623157e308",
                                          "0.30000000000000004",
                                          "179769313486231580793e289",
                                          "9223372036854775807",
                                          "9223372036854775808",
                                          "-9223372036854775808",
                                          "-9223372036854775809",
                                          "2147483647",
                                          "2147483648",
                                          "-2147483648",
                                          "-2147483649",
                                          "16777217",
                                          "16777217.0",
                                          "16777216.5",
                                          "1.00000005960464477539",
                                          "8388608.5",
                                          "340282356779733661637539395458142568447",
                                          "1 2",
                                          "1,2",
                                          "1:2",
                                          "1/2",
                                          "1\xC0",
                                          "\xFF",
                                          "12a",
                                          "a12",
                                          "1e+5",
                                          "1\t",
                                          "\t 1 ",
                                          " ",
                                          "  7"};

/// What strtod makes of a text of the form that we take.
std::optional<double> expected_number(const std::string& text) {
    std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string::npos) return std::nullopt;
    const std::string bare = text.substr(begin, text.find_last_not_of(" \t") + 1 - begin);
    const bool odd = bare.front() == '+' || bare.find_first_of("xX( \t\n") != std::string::npos;
    if (odd || bare.find('\0') != std::string::npos) return std::nullopt;
    char* rest = nullptr;
    errno = 0;
    const double value = std::strtod(bare.c_str(), &rest);
    if (rest != bare.c_str() + bare.size()) return std::nullopt;
    if (errno == ERANGE && (std::isinf(value) || value == 0)) return std::nullopt;
    return value;
}

template <class T>
bool same(T a, T b) {
    return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof(T)) == 0;
}

class CsvNumberFields : public testing::Test {
protected:
    /// Reads one field by way of a file with it in the middle and at the end of a row.
    template <class T>
    std::optional<T> read(const std::string& text, bool portably = false) {
        CsvReader reader{folder_.write("in.csv", "x," + text + "," + text + "\n"), {.header = false}};
        if (!reader.next() || reader.row().size() != 3) return std::nullopt;
        const CsvNumbers<T> numbers{{1, 2}, EmptyField::is_bad};
        std::array<T, 2> out{};
        const std::size_t count =
            portably ? numbers.read_portably(reader.row(), out.data()) : numbers.read(reader.row(), out.data());
        EXPECT_TRUE(count == 0 || count == 2) << text;
        if (count == 0) return std::nullopt;
        EXPECT_TRUE(same(static_cast<double>(out[0]), static_cast<double>(out[1]))) << text;
        return out[0];
    }

    /// Writes the texts as rows of some columns, reads them and holds the doubles against strtod's.
    void expect_exact(const std::vector<std::string>& texts, std::size_t columns) {
        std::string file;
        for (std::size_t i = 0; i < texts.size(); ++i) {
            file += texts[i] + ((i + 1) % columns == 0 || i + 1 == texts.size() ? "\n" : ",");
        }
        CsvReader reader{folder_.write("in.csv", file), {.header = false}};
        std::vector<std::uint32_t> all(columns);
        std::iota(all.begin(), all.end(), 0U);
        const CsvNumbers<double> doubles{all, EmptyField::is_bad};
        const CsvNumbers<float> floats{all, EmptyField::is_bad};
        std::vector<double> wide(columns);
        std::vector<float> narrow(columns);
        for (std::size_t i = 0; reader.next(); i += columns) {
            ASSERT_EQ(doubles.read(reader.row(), wide.data()), columns) << reader.row().text();
            ASSERT_EQ(floats.read(reader.row(), narrow.data()), columns) << reader.row().text();
            for (std::size_t k = 0; k < columns; ++k) {
                ASSERT_TRUE(same(wide[k], std::strtod(texts[i + k].c_str(), nullptr))) << texts[i + k];
                ASSERT_TRUE(same(narrow[k], std::strtof(texts[i + k].c_str(), nullptr))) << texts[i + k];
            }
        }
    }

    test::ScratchFolder folder_;
};

TEST_F(CsvNumberFields, AreReadAsStrtodReadsThem) {
    for (const std::string& text : hard_texts) {
        if (text.find(',') != std::string::npos) continue;
        SCOPED_TRACE(text);
        const auto expected = expected_number(text);
        for (const bool portably : {false, true}) {
            const auto found = read<double>(text, portably);
            ASSERT_EQ(found.has_value(), expected.has_value());
            if (found) {
                EXPECT_TRUE(same(*found, *expected)) << *found;
            }
        }
    }
}

TEST_F(CsvNumberFields, AreTheNearestDoublesAndFloatsAtEveryLength) {
    std::mt19937_64 random{77};
    std::vector<std::string> texts;
    for (int i = 0; i < 60'000; ++i) {
        const double value = std::uniform_real_distribution<double>{-1, 1}(random);
        const double size = std::pow(10.0, static_cast<double>(random() % 12));
        constexpr const char* forms[] = {"%.0f", "%.1f", "%.3f", "%.6f", "%.10f", "%.14f", "%.17g", "%.9g"};
        texts.push_back(printed(forms[random() % 8], value * size));
    }
    expect_exact(texts, 5);
}

TEST_F(CsvNumberFields, AreNotRoundedTwice) {
    std::mt19937_64 random{78};
    std::vector<std::string> texts;
    while (texts.size() < 4'000) {  // half-way between two floats, and next to that
        const auto mantissa = static_cast<double>((random() & 0xFFFFFFU) | 0x800000U) + 0.5;
        const double size = mantissa * std::exp2(-static_cast<double>(random() % 8));
        texts.push_back(printed("%.8f", size));
        texts.push_back(printed("%.7g", size));
        texts.push_back(printed("%.16g", std::nextafter(size, 0)));
        texts.push_back(printed("%.16g", std::nextafter(size, 1e300)));
    }
    expect_exact(texts, 4);
}

TEST_F(CsvNumberFields, MayBeWholeNumbers) {
    for (const std::string& text : hard_texts) {
        if (text.find(',') != std::string::npos) continue;
        SCOPED_TRACE(text);
        EXPECT_EQ(read<std::int64_t>(text), read<std::int64_t>(text, true));
        EXPECT_EQ(read<std::int32_t>(text), read<std::int32_t>(text, true));
    }
    EXPECT_EQ(read<std::int64_t>("-9223372036854775808"), std::numeric_limits<std::int64_t>::min());
    EXPECT_EQ(read<std::int64_t>("9223372036854775808"), std::nullopt);
    EXPECT_EQ(read<std::int32_t>("2147483647"), 2147483647);
    EXPECT_EQ(read<std::int32_t>("2147483648"), std::nullopt);
    EXPECT_EQ(read<std::int64_t>("1.0"), std::nullopt);
    EXPECT_EQ(read<std::int64_t>("1."), std::nullopt);
    EXPECT_EQ(read<std::int64_t>("-0012"), -12);
}

TEST_F(CsvNumberFields, MayBeQuotedOrAmongSpaces) {
    EXPECT_EQ(read<double>("\"1.5\""), 1.5);
    EXPECT_EQ(read<double>("\" 1.5\""), 1.5);
    EXPECT_EQ(read<double>("  1.5 "), 1.5);
    EXPECT_EQ(read<std::int32_t>("\t-3 "), -3);
}

TEST_F(CsvNumberFields, MayBeMissingIfAskedFor) {
    CsvReader reader{folder_.write("in.csv", "1,,\" \",x\n"), {.header = false}};
    ASSERT_TRUE(reader.next());
    std::array<double, 4> out{};

    EXPECT_EQ((CsvNumbers<double>{{0, 1, 2, 3}, EmptyField::is_nan}.read(reader.row(), out.data())), 3U);
    EXPECT_EQ(out[0], 1);
    EXPECT_TRUE(std::isnan(out[1]));
    EXPECT_TRUE(std::isnan(out[2]));
    EXPECT_EQ((CsvNumbers<double>{{0, 1}, EmptyField::is_bad}.read(reader.row(), out.data())), 1U);
}

TEST_F(CsvNumberFields, MayBeTakenInAnyOrder) {
    CsvReader reader{folder_.write("in.csv", "1,2,3\r\n"), {.header = false}};
    ASSERT_TRUE(reader.next());
    std::array<std::int64_t, 4> out{};

    ASSERT_EQ((CsvNumbers<std::int64_t>{{2, 0, 1, 2}, EmptyField::is_bad}.read(reader.row(), out.data())), 4U);
    EXPECT_EQ(out, (std::array<std::int64_t, 4>{3, 1, 2, 3}));
}

}  // namespace
}  // namespace penstock
