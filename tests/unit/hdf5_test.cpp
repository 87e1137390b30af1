#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hdf5.h>
#include <sys/resource.h>

#include "error_of.hpp"
#include "operators/hdf5/payload_table.hpp"
#include "support/fake_runtime.hpp"

namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::make_builtin;
using testing::ElementsAre;
using testing::HasSubstr;

using Pairs = std::initializer_list<std::pair<const char*, ParamValue>>;

ParamValue number(std::int64_t value) {
    return ParamValue{value};
}
ParamValue text(std::string value) {
    return ParamValue{std::move(value)};
}

class Hdf5 : public testing::Test {
protected:
    Hdf5() {
        std::string name = (std::filesystem::temp_directory_path() / "penstock-hdf5-XXXXXX").string();
        folder_ = mkdtemp(name.data());
        context_.results = folder_;
        context_.origin = {.pipeline = "lines",
                           .plan = "{\"pipeline\": \"lines\"}",
                           .run = "/runs/lines-1",
                           .rank = 2,
                           .hosts = {"node1", "node2", "node2"},
                           .transports = {"a-b: shm"}};
    }
    ~Hdf5() override { std::filesystem::remove_all(folder_); }

    [[nodiscard]] std::string path(const std::string& name = "results.h5") const { return folder_ + "/" + name; }

    [[nodiscard]] std::unique_ptr<Sink> sink(Params given = {}) {
        return make_builtin<Sink>("hdf5_sink", given, context_);
    }

    void write(const std::vector<Payload>& payloads, const Params& given = {}) {
        const auto writer = sink(given);
        for (const auto& payload : payloads) writer->consume(payload);
        writer->finish();
    }

    [[nodiscard]] std::vector<Payload> read(Params given = {}, const std::string& name = "results.h5") {
        if (!given.has("input")) given.set("input", text(path(name)));
        const auto source = make_builtin<Source>("hdf5_source", given, context_);
        while (source->produce(out_)) continue;
        source->finish();
        return std::exchange(out_.emitted, {});
    }

    [[nodiscard]] Error read_error(const Params& given = {}, const std::string& name = "results.h5") {
        return error_of([&] { static_cast<void>(read(given, name)); });
    }

    template <Wire T>
    [[nodiscard]] static std::vector<T> elements(const Payload& payload) {
        const auto view = payload.view<T>();
        return {view.begin(), view.end()};
    }

    std::string folder_;
    FakeContext context_;
    FakeOutput out_{64U << 20U};
    FakeOutput inputs_{64U << 20U};
};

void expect_same(const Payload& a, const Payload& b) {
    EXPECT_EQ(a.dtype(), b.dtype());
    EXPECT_TRUE(a.shape() == b.shape());
    EXPECT_TRUE(std::ranges::equal(a.bytes(), b.bytes()));
}

// --- what is written comes back ---

template <class T>
class Hdf5Elements : public Hdf5 {};
using AllElements = testing::Types<std::byte, char, std::int8_t, std::uint8_t, std::int16_t, std::uint16_t,
                                   std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, float, double>;
TYPED_TEST_SUITE(Hdf5Elements, AllElements);

TYPED_TEST(Hdf5Elements, KeepTypeAndShapeInEveryLayout) {
    using T = TypeParam;
    for (const char* layout : {"stack", "append"}) {
        for (const char* compression : {"none", "gzip", "shuffle_gzip"}) {
            SCOPED_TRACE(std::string{layout} + ", " + compression);
            std::vector<Payload> payloads;
            for (int i = 0; i < 5; ++i) {
                std::vector<T> values(24);
                for (std::size_t k = 0; k < 24; ++k) values[k] = static_cast<T>(i * 24 + static_cast<int>(k) + 1);
                const bool line = std::is_same_v<T, char> || std::is_same_v<T, std::byte>;
                payloads.push_back(this->inputs_.template vector<T>(values, line ? Shape{24} : Shape{2, 3, 4}));
            }

            this->write(payloads, test::params({{"layout", text(layout)}, {"compression", text(compression)}}));
            const auto back = this->read();

            ASSERT_EQ(back.size(), payloads.size());
            for (std::size_t i = 0; i < back.size(); ++i) expect_same(back[i], payloads[i]);
        }
    }
}

TEST_F(Hdf5, KeepsNumbersThatAreNotFinite) {
    const double infinity = std::numeric_limits<double>::infinity();
    write({inputs_.vector<double>({std::nan(""), infinity, -infinity, -0.0})});

    const auto values = elements<double>(read().at(0));

    EXPECT_TRUE(std::isnan(values[0]));
    EXPECT_EQ(values[1], infinity);
    EXPECT_EQ(values[2], -infinity);
    EXPECT_TRUE(std::signbit(values[3]));
}

TEST_F(Hdf5, KeepsWhatATableSaysAboutAPayload) {
    auto draft = inputs_.draft<double>(2);
    std::fill(draft.begin(), draft.end(), 1.5);
    draft.set_user_id(77);
    draft.set_format(Format::raw);
    draft.set("whole", 3);
    draft.set("number", MetaValue{3.0});
    draft.set("nan", MetaValue{std::nan("")});
    draft.set("flag", MetaValue{true});
    draft.set("text", "Grüße");
    const std::string broken{"\xff\0a", 3};
    draft.set("broken", MetaValue{std::string_view{broken}});
    draft.set("bytes", MetaValue{std::as_bytes(std::span{broken})});
    write({inputs_.sealed(std::move(draft)), inputs_.vector<double>({1, 2})});

    const auto back = read();

    ASSERT_EQ(back.size(), 2U);
    EXPECT_EQ(back[0].user_id(), 77U);
    EXPECT_EQ(back[0].format(), Format::raw);
    const MetadataView found = back[0].metadata();
    EXPECT_EQ(found.integer("whole"), 3);
    EXPECT_TRUE(std::holds_alternative<double>(found.find("number").value()));
    EXPECT_TRUE(std::isnan(found.number("nan").value()));
    EXPECT_EQ(std::get<bool>(found.find("flag").value()), true);
    EXPECT_EQ(found.string("text"), "Grüße");
    for (const char* key : {"broken", "bytes"}) {
        const auto bytes = std::get<std::span<const std::byte>>(found.find(key).value());
        EXPECT_TRUE(std::ranges::equal(bytes, std::as_bytes(std::span{broken})));
    }
    EXPECT_EQ(back[1].user_id(), std::nullopt);
    EXPECT_TRUE(back[1].metadata().encoded().empty());
}

TEST_F(Hdf5, KeepsTheLargestMetadata) {
    auto draft = inputs_.draft<double>(1);
    draft[0] = 0;
    const std::string large(max_metadata_bytes - 7, 'x');
    draft.set("k", MetaValue{std::string_view{large}});
    write({inputs_.sealed(std::move(draft))});

    EXPECT_EQ(read().at(0).metadata().string("k"), large);
}

TEST_F(Hdf5, StacksTextsOfAnyLengthAndAppendsTextsWithNul) {
    const std::vector<std::string> texts{"a,b\n1,2", "", "\xff\xfe", std::string(100'000, 'z')};
    std::vector<Payload> payloads;
    for (const auto& each : texts) payloads.push_back(inputs_.text(each));
    write(payloads);
    const auto stacked = read();
    ASSERT_EQ(stacked.size(), texts.size());
    for (std::size_t i = 0; i < texts.size(); ++i) EXPECT_EQ(stacked[i].text(), texts[i]);

    EXPECT_THAT(read_error(test::params({{"payloads", ParamValue{false}}})).what(), HasSubstr("variable length"));

    payloads.push_back(inputs_.text(std::string{"a\0b", 3}));
    write(payloads, test::params({{"layout", text("append")}}));
    const auto appended = read();
    ASSERT_EQ(appended.size(), payloads.size());
    for (std::size_t i = 0; i < payloads.size(); ++i) EXPECT_EQ(appended[i].text(), payloads[i].text());
}

TEST_F(Hdf5, GathersRowsToChunksHoweverTheyCome) {
    std::vector<Payload> payloads;
    std::vector<std::int32_t> all;
    for (std::size_t i = 0; i < 60; ++i) {
        std::vector<std::int32_t> values(i * 37 % 1500);  // below, at and beyond the 256 elements of a chunk
        std::iota(values.begin(), values.end(), static_cast<std::int32_t>(all.size()));
        all.insert(all.end(), values.begin(), values.end());
        payloads.push_back(inputs_.vector<std::int32_t>(values));
    }
    for (const char* compression : {"none", "gzip"}) {
        for (const int flush : {0, 1000}) {
            write(payloads, test::params({{"layout", text("append")},
                                          {"chunk", number(1024)},
                                          {"flush", number(flush)},
                                          {"compression", text(compression)}}));

            std::vector<std::int32_t> found;
            for (const auto& payload : read(test::params({{"payloads", ParamValue{false}}}))) {
                const auto values = elements<std::int32_t>(payload);
                found.insert(found.end(), values.begin(), values.end());
            }
            EXPECT_EQ(found, all);
        }
    }
}

TEST_F(Hdf5, GivesEachPayloadADatasetOfItsOwn) {
    auto again = inputs_.draft<float>(Shape{1, 2});
    again[0] = 1;
    again[1] = 2;
    again.body()->id = {1, 0, 0};  // the same payload, on another way
    again.body()->has_id = true;
    write({inputs_.vector<double>({1, 2, 3}), inputs_.sealed(std::move(again)), inputs_.text("hello"),
           inputs_.vector<double>({})},
          test::params({{"layout", text("separate")}, {"compression", text("gzip")}}));

    EXPECT_EQ(elements<double>(read(test::params({{"dataset", text("data/1.0/0/1.0.0")}})).at(0)),
              (std::vector<double>{1, 2, 3}));
    const auto twin = read(test::params({{"dataset", text("data/1.0/0/1.0.0-2")}}));
    EXPECT_TRUE(twin.at(0).shape() == (Shape{1, 2}));
    EXPECT_EQ(twin.at(0).dtype(), DType::f32);
    EXPECT_THAT(read_error(test::params({{"dataset", text("data")}})).what(), HasSubstr("is no dataset but a group"));
}

TEST_F(Hdf5, TakesEmptyPayloads) {
    const auto none = inputs_.vector<double>({});
    const auto rows = inputs_.vector<double>({}, Shape{0, 3});
    write({none, none});
    EXPECT_EQ(read().size(), 2U);
    EXPECT_EQ(read().at(1).size_bytes(), 0U);

    write({rows, inputs_.vector<double>({1, 2, 3}, Shape{1, 3}), rows}, test::params({{"layout", text("append")}}));
    const auto back = read();
    ASSERT_EQ(back.size(), 3U);
    EXPECT_TRUE(back[0].shape() == (Shape{0, 3}));
    EXPECT_EQ(elements<double>(back[1]), (std::vector<double>{1, 2, 3}));
}

TEST_F(Hdf5, TakesEightDimensions) {
    const auto payload = inputs_.vector<std::uint8_t>({1, 2, 3, 4}, Shape{1, 1, 2, 1, 1, 2, 1, 1});
    write({payload, payload});

    expect_same(read().at(1), payload);
}

TEST_F(Hdf5, LeavesAFileWithoutADatasetWhenNothingCame) {
    write({});

    EXPECT_THAT(read_error().what(), HasSubstr("has no dataset \"data\""));
}

TEST_F(Hdf5, WritesNoTableWhenToldSo) {
    write({inputs_.vector<double>({1}), inputs_.vector<double>({2})}, test::params({{"metadata", ParamValue{false}}}));

    const auto back = read();

    ASSERT_EQ(back.size(), 1U);  // rows in one lot
    EXPECT_EQ(elements<double>(back[0]), (std::vector<double>{1, 2}));
}

// --- bad records ---

TEST_F(Hdf5, CountsAndLocatesPayloadsOfAnotherForm) {
    const auto writer = sink();
    writer->consume(inputs_.vector<double>({1, 2}));
    writer->consume(inputs_.vector<float>({1, 2}));
    writer->consume(inputs_.vector<double>({1, 2, 3}));
    writer->consume(inputs_.text("x"));
    writer->consume(inputs_.vector<double>({3, 4}));
    writer->finish();

    EXPECT_EQ(context_.counters["malformed"], 3U);
    EXPECT_EQ(context_.counters["payloads"], 2U);
    EXPECT_THAT(context_.logger.messages(),
                testing::Contains("Malformed payload 1 of rank 1: it is f32 [2], not f64 [2] as the first one"));
    const auto back = read();
    ASSERT_EQ(back.size(), 2U);
    EXPECT_EQ(elements<double>(back[1]), (std::vector<double>{3, 4}));
}

TEST_F(Hdf5, RefusesATextWithNulThatItWouldCut) {
    const auto writer = sink();
    writer->consume(inputs_.text(std::string{"a\0b", 3}));
    writer->finish();

    EXPECT_EQ(context_.counters["malformed"], 1U);
    EXPECT_THAT(context_.logger.messages(), testing::Contains(HasSubstr("NUL byte")));
}

TEST_F(Hdf5, StopsAtABadPayloadWhenStrict) {
    const auto writer = sink(test::params({{"strict", ParamValue{true}}}));
    writer->consume(inputs_.vector<double>({1, 2}));

    const Error error = error_of([&] { writer->consume(inputs_.vector<float>({1, 2})); });

    EXPECT_EQ(error.code(), Errc::invalid_input);
    EXPECT_THAT(error.what(), HasSubstr("f32 [2], not f64 [2]"));
}

// --- custody ---

TEST_F(Hdf5, SettlesAPayloadOnlyWhenAReaderFindsIt) {
    std::atomic<int> settled{0};
    inputs_.on_settled = [&](PayloadId) {
        ++settled;
        settled.notify_one();
    };
    const auto writer = sink(test::params({{"flush", number(1)}}));

    writer->consume(inputs_.vector<double>({1, 2}));
    settled.wait(0);

    EXPECT_EQ(elements<double>(read().at(0)), (std::vector<double>{1, 2}));  // while the writer has the file open
    writer->finish();
}

TEST_F(Hdf5, TakesMoreThanItsBufferByWaitingForTheDisk) {
    const std::vector<double> large(100'000, 1.0);  // of 1 MiB a bit less than one
    std::atomic<int> settled{0};
    inputs_.on_settled = [&](PayloadId) { ++settled; };
    const auto writer = sink(test::params({{"buffer", number(1 << 20)}, {"flush", number(60'000)}}));

    for (int i = 0; i < 20; ++i) {
        writer->consume(inputs_.vector<double>(large));
        EXPECT_GE(settled, i - 1);
    }
    writer->finish();

    EXPECT_EQ(settled, 20);
    EXPECT_EQ(read().size(), 20U);
}

TEST_F(Hdf5, DropsWhatItHoldsWhenItIsDestroyedEarly) {
    int dropped = 0;
    inputs_.on_settled = [&](PayloadId) { ++dropped; };
    {
        const auto writer = sink(test::params({{"flush", number(60'000)}}));
        writer->consume(inputs_.vector<double>({1, 2}));
    }

    EXPECT_EQ(dropped, 1);
}

TEST_F(Hdf5, FailsWithWhatTheDiskSaysAndKeepsWhatWasSettled) {
    std::atomic<int> settled{0};
    inputs_.on_settled = [&](PayloadId) {
        ++settled;
        settled.notify_one();
    };
    const auto old_action = std::signal(SIGXFSZ, SIG_IGN);
    rlimit old_limit{};
    getrlimit(RLIMIT_FSIZE, &old_limit);
    const std::vector<double> block(1 << 17, 1.0);  // 1 MiB
    const auto writer = sink(test::params({{"flush", number(0)}}));
    writer->consume(inputs_.vector<double>(block));
    settled.wait(0);
    const rlimit tight{std::filesystem::file_size(path()) + 10'000, old_limit.rlim_max};

    setrlimit(RLIMIT_FSIZE, &tight);
    const Error error = error_of([&] {
        for (int i = 0; i < 3; ++i) writer->consume(inputs_.vector<double>(block));
        writer->finish();
    });
    setrlimit(RLIMIT_FSIZE, &old_limit);
    std::signal(SIGXFSZ, old_action);

    EXPECT_EQ(error.code(), Errc::exhausted);
    EXPECT_THAT(error.what(), HasSubstr("File too large"));
    EXPECT_THAT(error.what(), HasSubstr(path()));
    const auto back = read();
    ASSERT_GE(back.size(), 1U);
    EXPECT_EQ(elements<double>(back[0]), block);
    EXPECT_EQ(error_of([&] { writer->consume(inputs_.vector<double>(block)); }).code(), Errc::exhausted);
}

TEST_F(Hdf5, RefusesAFileThatCannotBe) {
    for (const std::string& name : {std::string{"/dev/full"}, path("missing/results.h5"), folder_}) {
        const Error error = error_of([&] { static_cast<void>(sink(test::params({{"output", text(name)}}))); });
        EXPECT_EQ(error.code(), Errc::invalid_input) << name;
        EXPECT_THAT(error.what(), HasSubstr(name));
    }
    EXPECT_TRUE(std::filesystem::is_character_file("/dev/full"));
    EXPECT_THAT(error_of([&] {
                    static_cast<void>(sink(test::params({{"dataset", text("a/b")}})));
                }).what(),
                HasSubstr("a name without slashes, not \"a/b\""));
}

// --- several instances ---

TEST_F(Hdf5, JoinsTheFilesOfItsInstancesInTheirOrder) {
    context_.instance_count = 3;
    std::vector<std::unique_ptr<Sink>> sinks;
    for (int i = 0; i < 3; ++i) {
        context_.instance_number = i;
        sinks.push_back(sink(test::params({{"output", text("part." + std::to_string(i) + ".h5")}})));
    }
    sinks[2]->consume(inputs_.vector<double>({5, 6}));
    sinks[0]->consume(inputs_.vector<double>({1, 2}));
    sinks[0]->consume(inputs_.vector<double>({3, 4}));
    for (auto& each : sinks) each->finish();
    context_.instance_number = 0;
    context_.instance_count = 1;

    const auto back = read({}, "part.h5");

    ASSERT_EQ(back.size(), 3U);
    EXPECT_EQ(elements<double>(back[1]), (std::vector<double>{3, 4}));
    EXPECT_EQ(elements<double>(back[2]), (std::vector<double>{5, 6}));
}

TEST_F(Hdf5, SaysWhyFilesAreNotJoined) {
    context_.instance_count = 2;
    std::vector<std::unique_ptr<Sink>> sinks;
    for (int i = 0; i < 2; ++i) {
        context_.instance_number = i;
        sinks.push_back(sink(test::params({{"output", text("part." + std::to_string(i) + ".h5")}})));
    }
    sinks[0]->consume(inputs_.vector<double>({1, 2}));
    sinks[1]->consume(inputs_.vector<float>({1, 2}));
    for (auto& each : sinks) each->finish();

    EXPECT_FALSE(std::filesystem::exists(path("part.h5")));
    EXPECT_THAT(context_.logger.messages(),
                testing::Contains("The files of the instances are not joined: part.0.h5 and part.1.h5 have elements of "
                                  "different type or shape"));
}

// --- the source, on any file ---

/// Makes files as somebody else would.
class Hdf5Foreign : public Hdf5 {
protected:
    void dataset(const char* name, hid_t type, std::vector<hsize_t> extents, const void* values) {
        const hid_t file = std::filesystem::exists(path())
                               ? H5Fopen(path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT)
                               : H5Fcreate(path().c_str(), H5F_ACC_EXCL, H5P_DEFAULT, H5P_DEFAULT);
        const hid_t space = H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr);
        const hid_t made = H5Dcreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
        if (values != nullptr) H5Dwrite(made, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values);
        H5Dclose(made);
        H5Sclose(space);
        H5Fclose(file);
    }
};

TEST_F(Hdf5Foreign, IsReadByRowsWithTheRestAtTheEnd) {
    std::vector<std::int16_t> values(21);
    std::iota(values.begin(), values.end(), std::int16_t{0});
    dataset("x", H5T_STD_I16BE, {7, 3}, nullptr);
    dataset("data", H5T_NATIVE_INT16, {7, 3}, values.data());

    const auto back = read(test::params({{"rows", number(3)}}));

    ASSERT_EQ(back.size(), 3U);
    EXPECT_TRUE(back[0].shape() == (Shape{3, 3}));
    EXPECT_TRUE(back[2].shape() == (Shape{1, 3}));
    EXPECT_EQ(elements<std::int16_t>(back[2]), (std::vector<std::int16_t>{18, 19, 20}));
    EXPECT_EQ(read(test::params({{"dataset", text("x")}})).at(0).dtype(), DType::i16);
}

TEST_F(Hdf5Foreign, IsSharedByTheInstancesRowByRow) {
    std::vector<double> values(10);
    std::iota(values.begin(), values.end(), 0.0);
    dataset("data", H5T_NATIVE_DOUBLE, {10}, values.data());
    context_.instance_count = 3;

    for (const char* share : {"round_robin", "contiguous"}) {
        std::vector<double> found;
        for (context_.instance_number = 0; context_.instance_number < 3; ++context_.instance_number) {
            const auto mine = read(test::params({{"rows", number(1)}, {"share", text(share)}}));
            EXPECT_EQ(mine.size(), context_.instance_number == 0 ? 4U : 3U);
            for (const auto& payload : mine) found.push_back(elements<double>(payload).at(0));
        }
        EXPECT_EQ(std::is_sorted(found.begin(), found.end()), std::string{share} == "contiguous");
        std::sort(found.begin(), found.end());
        EXPECT_EQ(found, values);
    }
}

TEST_F(Hdf5Foreign, WithTypesThatNoPayloadHasIsRefusedByName) {
    const hid_t compound = H5Tcreate(H5T_COMPOUND, 8);
    H5Tinsert(compound, "x", 0, H5T_NATIVE_DOUBLE);
    const hid_t list = H5Tvlen_create(H5T_NATIVE_INT);
    const hid_t word = H5Tcopy(H5T_C_S1);
    H5Tset_size(word, 5);
    dataset("compound", compound, {2}, nullptr);
    dataset("list", list, {2}, nullptr);
    dataset("word", word, {2}, nullptr);
    dataset("long", H5T_NATIVE_LDOUBLE, {2}, nullptr);
    dataset("bits", H5T_STD_B8LE, {2}, nullptr);
    const std::vector<std::pair<const char*, const char*>> refused{{"compound", "a compound type"},
                                                                   {"list", "a type of variable length"},
                                                                   {"word", "text of fixed length"},
                                                                   {"long", "a floating-point type of 16 bytes"},
                                                                   {"bits", "a bit field"}};
    for (const auto& [name, said] : refused) {
        const Error error = read_error(test::params({{"dataset", text(name)}}));
        EXPECT_EQ(error.code(), Errc::invalid_input) << name;
        EXPECT_THAT(error.what(), HasSubstr(said));
    }
}

TEST_F(Hdf5Foreign, ThatIsNoneOrNotThereOrCutIsRefused) {
    EXPECT_THAT(read_error().what(), HasSubstr("there is no file"));
    std::ofstream{path("empty.h5")}.flush();
    EXPECT_THAT(read_error({}, "empty.h5").what(), HasSubstr("as an HDF5 file"));
    std::ofstream{path("text.h5")} << "no HDF5 at all";
    EXPECT_THAT(read_error({}, "text.h5").what(), HasSubstr("as an HDF5 file"));
    EXPECT_THAT(read_error(test::params({{"input", text(folder_)}})).what(), HasSubstr(folder_));

    const std::vector<double> values(10'000, 1.0);
    dataset("data", H5T_NATIVE_DOUBLE, {10'000}, values.data());
    std::filesystem::resize_file(path(), 20'000);
    EXPECT_EQ(read_error().code(), Errc::invalid_input);
    EXPECT_THAT(read_error().what(), HasSubstr("truncated"));
    EXPECT_THAT(read_error(test::params({{"dataset", text("")}})).what(), HasSubstr("cannot read"));
}

TEST_F(Hdf5Foreign, WithATableOfAnotherKindIsRefusedOrReadWithoutIt) {
    const std::vector<double> values{1, 2};
    dataset("data", H5T_NATIVE_DOUBLE, {2}, values.data());
    dataset("data_payloads", H5T_NATIVE_DOUBLE, {2}, values.data());

    EXPECT_THAT(read_error().what(), HasSubstr("set \"payloads\" to false"));
    EXPECT_EQ(elements<double>(read(test::params({{"payloads", ParamValue{false}}})).at(0)), values);
}

TEST_F(Hdf5Foreign, WithATableThatNamesRowsItDoesNotHaveIsRefused) {
    for (const std::uint64_t rows : {std::uint64_t{0}, std::uint64_t{2}, ~std::uint64_t{0}}) {
        for (const char* column : {"rows", "first_row"}) {
            if (rows == 0 && std::string{column} == "first_row") continue;
            write({inputs_.vector<double>({1, 2})});
            const hid_t file = H5Fopen(path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
            const hid_t table = H5Dopen2(file, "data_payloads", H5P_DEFAULT);
            const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof rows);
            H5Tinsert(type, column, 0, H5T_NATIVE_UINT64);
            ASSERT_GE(H5Dwrite(table, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &rows), 0);
            H5Tclose(type);
            H5Dclose(table);
            H5Fclose(file);

            EXPECT_THAT(read_error().what(), HasSubstr("row 0 of the table of the payloads names rows"))
                << column << rows;
        }
    }
}

/// As several instances write it together.
TEST_F(Hdf5Foreign, WithMetadataBesideTheTableIsRead) {
    const auto beside = [&](std::uint64_t metadata_first) {
        write({inputs_.vector<double>({1, 2}), inputs_.vector<double>({3, 4})},
              test::params({{"metadata", ParamValue{false}}}));
        const hid_t file = H5Fopen(path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
        {
            hdf5::SharedTableWriter table{file, "data"};
            table.extend(2, metadata_first == 0 ? 9 : 11);
            const auto row = [](std::uint64_t first, std::string metadata) {
                return hdf5::PayloadRow{.id = {7, 0, first},
                                        .user_id = first,
                                        .first_row = first,
                                        .rows = 1,
                                        .metadata = std::move(metadata)};
            };
            table.write(0, 0, {row(0, R"({"key":1})")});
            table.write(1, metadata_first, {row(1, metadata_first == 0 ? "" : "{}")});
        }
        H5Fclose(file);
    };

    beside(0);
    const auto back = read();
    ASSERT_EQ(back.size(), 2U);
    EXPECT_EQ(back[0].metadata().integer("key"), 1);
    EXPECT_EQ(back[1].metadata().encoded().size(), 0U);
    EXPECT_EQ(back[1].user_id(), 1U);

    for (const std::uint64_t first : {std::uint64_t{10}, ~std::uint64_t{0}}) {
        beside(9);
        const hid_t file = H5Fopen(path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
        const hid_t table = H5Dopen2(file, "data_payloads", H5P_DEFAULT);
        const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof first);
        H5Tinsert(type, "metadata_first", 0, H5T_NATIVE_UINT64);
        const std::vector<std::uint64_t> places{0, first};
        ASSERT_GE(H5Dwrite(table, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, places.data()), 0);
        H5Tclose(type);
        H5Dclose(table);
        H5Fclose(file);
        EXPECT_THAT(read_error().what(), HasSubstr("names metadata that are not there")) << first;
    }
}

TEST_F(Hdf5Foreign, WithMetadataThatAreNoObjectIsRefused) {
    write({inputs_.vector<double>({1, 2})});
    const hid_t file = H5Fopen(path().c_str(), H5F_ACC_RDWR, H5P_DEFAULT);
    const hid_t table = H5Dopen2(file, "data_payloads", H5P_DEFAULT);
    const hid_t line = H5Tcopy(H5T_C_S1);
    H5Tset_size(line, H5T_VARIABLE);
    H5Tset_cset(line, H5T_CSET_UTF8);
    const hid_t type = H5Tcreate(H5T_COMPOUND, sizeof(char*));
    H5Tinsert(type, "metadata", 0, line);
    const char* list = "[1, 2]";
    ASSERT_GE(H5Dwrite(table, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, &list), 0);
    H5Dclose(table);
    H5Fclose(file);

    EXPECT_THAT(read_error().what(), HasSubstr("are no JSON object"));
}

TEST_F(Hdf5Foreign, WithARowLargerThanTheArenaIsRefused) {
    dataset("data", H5T_NATIVE_DOUBLE, {2, 1ULL << 40U}, nullptr);

    EXPECT_ANY_THROW(static_cast<void>(read()));
}

TEST_F(Hdf5Foreign, WithoutRowsGivesNothing) {
    dataset("data", H5T_NATIVE_DOUBLE, {0, 5}, nullptr);

    EXPECT_TRUE(read().empty());
}

}  // namespace
}  // namespace penstock
