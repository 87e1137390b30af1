#include <limits>
#include <map>
#include <random>
#include <regex>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/elements.hpp"
#include "support/fake_runtime.hpp"
#include "support/scratch_folder.hpp"

// What holds for every operator of the registry, whatever it does. A new one is tested without a change here, unless it
// has parameters without defaults: those get a value in `required`.
namespace penstock {
namespace {

using test::FakeContext;
using test::FakeOutput;
using test::params;
using test::ScratchFolder;
using test::through;

constexpr double infinity = std::numeric_limits<double>::infinity();

ParamValue text(const char* value) {
    return ParamValue{std::string{value}};
}

/// Files for the sources that read some.
struct InputFiles {
    InputFiles() {
        csv = folder.write("numbers.csv", "a,b\n1,2\n3,4\n");
        dcgm = folder.write("dcgm.csv",
                            "timestamp,metric_name,gpu_id,device,uuid,modelName,Hostname,value\n"
                            "2025-07-18T20:42:34Z,M,0,nvidia0,GPU-1,H100,host,1\n");
#if defined(PENSTOCK_HAS_HDF5)
        FakeContext context;
        context.results = folder.path();
        FakeOutput made;
        const auto sink = test::make_builtin<Sink>("hdf5_sink", params({{"output", text("data.h5")}}), context);
        sink->consume(made.vector<double>({1, 2, 3}));
        sink->finish();
#endif
    }
    ScratchFolder folder;
    std::string csv;
    std::string dcgm;
};

/// Parameters that an operator cannot do without.
const std::map<std::string, Params, std::less<>>& required() {
    static const InputFiles files;
    static const std::map<std::string, Params, std::less<>> table{
        {"csv_source", params({{"input", ParamValue{files.csv}}})},
        {"file_source", params({{"input", ParamValue{files.csv}}})},
        {"filter", params({{"key", text("key")}})},
        {"hdf5_source", params({{"input", ParamValue{files.folder.path("data.h5")}}})},
        {"histogram", params({{"low", ParamValue{0.0}}, {"high", ParamValue{1.0}}})},
        {"split", params({{"key", text("key")}})},
        {"sweep", params({{"axes", ParamValue{ParamValue::List{text("x=0:1:5")}}}})},
        {"telemetry_streamer", params({{"csv_path", ParamValue{files.dcgm}}})},
        {"threshold", params({{"level", ParamValue{1.0}}})},
    };
    return table;
}

const std::vector<const OperatorInfo*>& operators() {
    static const Registry registry = Registry::with_builtins();
    static const std::vector<const OperatorInfo*> list = registry.list();
    return list;
}

class AnyOperator : public testing::TestWithParam<const OperatorInfo*> {
protected:
    AnyOperator() { context_.results = folder_.path(); }

    [[nodiscard]] static const OperatorInfo& info() { return *GetParam(); }

    [[nodiscard]] Operator make() {
        const Registry registry = Registry::with_builtins();
        const auto given = required().find(info().name);
        const Params complete = registry.complete(info(), given == required().end() ? Params{} : given->second, {});
        return registry.make(info().name, complete, context_);
    }

    /// An operator either handles what it is given or says what is wrong with it.
    template <class Action>
    static bool handles(Action&& action) {
        try {
            action();
            return true;
        } catch (const Error& error) {
            EXPECT_NE(error.code(), Errc::internal) << error.what();
            EXPECT_GT(std::string_view{error.what()}.size(), name_of(error.code()).size() + 10) << error.what();
        } catch (const std::exception& error) {
            ADD_FAILURE() << "it threw no penstock::Error: " << error.what();
        }
        return false;
    }

    /// Gives a fresh operator the payloads, by turns through both channels, and the end; then nothing may be left.
    void feed(const std::vector<Payload>& payloads) {
        handles([&] {
            Operator made = make();
            std::uint16_t channel = 0;
            bool is_whole = true;
            for (const auto& payload : payloads) {
                const auto arrived = through(channel, payload);
                channel = 1 - channel;
                is_whole = is_whole && handles([&] {
                               if (auto* sink = std::get_if<std::unique_ptr<Sink>>(&made)) (*sink)->consume(arrived);
                               if (auto* processor = std::get_if<std::unique_ptr<Processor>>(&made)) {
                                   (*processor)->process(arrived, out_);
                               }
                           });
            }
            // After an error an operator is not told of the end, but it is destroyed.
            if (is_whole) finish(made);
        });
        for (const auto& payload : out_.emitted) {
            EXPECT_TRUE(payload.metadata().well_formed());
            EXPECT_EQ(payload.shape().count() * size_of(payload.dtype()), payload.size_bytes());
        }
        out_.emitted.clear();
    }

    void finish(Operator& made) {
        handles([&] {
            if (auto* source = std::get_if<std::unique_ptr<Source>>(&made)) (*source)->finish();
            if (auto* sink = std::get_if<std::unique_ptr<Sink>>(&made)) (*sink)->finish();
            if (auto* processor = std::get_if<std::unique_ptr<Processor>>(&made)) (*processor)->finish(out_);
        });
    }

    void TearDown() override {
        EXPECT_EQ(out_.used_bytes(), used_at_start_) << "it keeps payloads or drafts";
        EXPECT_LE(context_.counters.size(), 8U);
    }

    ScratchFolder folder_;
    FakeContext context_;
    FakeOutput out_{64U << 20U};
    std::size_t used_at_start_ = out_.used_bytes();
};

constexpr std::array<DType, dtype_count> dtypes{DType::bytes, DType::text, DType::i8,  DType::u8,
                                                DType::i16,   DType::u16,  DType::i32, DType::u32,
                                                DType::i64,   DType::u64,  DType::f32, DType::f64};

bool is_word(const std::string& name) {
    static const std::regex word{"[a-z][a-z0-9]*(_[a-z0-9]+)*"};
    return std::regex_match(name, word);
}

bool is_sentence(const std::string& text) {
    return text.size() > 4 && text.back() == '.' && text.find('\n') == std::string::npos;
}

TEST_P(AnyOperator, DocumentsItself) {
    EXPECT_TRUE(is_word(info().name)) << info().name;
    EXPECT_TRUE(is_sentence(info().help)) << info().help;
    EXPECT_FALSE(info().any_params) << "its parameters are not described";
    for (const auto& param : info().params) {
        SCOPED_TRACE(param.name);
        EXPECT_TRUE(is_word(param.name));
        EXPECT_TRUE(is_sentence(param.help)) << param.help;
        EXPECT_EQ(param.unit == "ms", param.kind == ParamKind::duration) << "a duration is given in ms";
        EXPECT_EQ(param.unit == "bytes", param.kind == ParamKind::size) << "a size is given in bytes";
        EXPECT_TRUE(param.choices.empty() || param.kind == ParamKind::string);
        EXPECT_LT(param.minimum.value_or(-infinity), param.maximum.value_or(infinity));
    }
}

TEST_P(AnyOperator, HasDefaultsThatAreLegal) {
    const Registry registry = Registry::with_builtins();
    Params defaults;
    for (const auto& param : info().params) {
        if (param.fallback) defaults.set(param.name, *param.fallback);
    }
    const auto given = required().find(info().name);
    if (given != required().end()) {
        for (const auto& [name, value] : given->second) defaults.set(name, value);
    }

    EXPECT_NO_THROW((void)registry.complete(info(), defaults, {}))
        << "if it has parameters without defaults, give them a value in `required`";
}

TEST_P(AnyOperator, IsMade) {
    try {
        (void)make();
    } catch (const Error& error) {
        if (error.code() == Errc::unsupported) GTEST_SKIP() << error.what();
        FAIL() << error.what() << "\nif its defaults are not enough, give it parameters in `required`";
    }
}

TEST_P(AnyOperator, StandsTheEndAtOnce) {
    feed({});
}

TEST_P(AnyOperator, EmitsWhatIsConsistentIfItIsASource) {
    handles([&] {
        Operator made = make();
        auto* source = std::get_if<std::unique_ptr<Source>>(&made);
        if (source == nullptr) return;
        for (int i = 0; i < 3 && (*source)->produce(out_); ++i) {
            EXPECT_FALSE(out_.emitted.empty());
            EXPECT_TRUE(out_.emitted.back().metadata().well_formed());
        }
        (*source)->finish();
    });
    out_.emitted.clear();
}

TEST_P(AnyOperator, TakesEmptyPayloadsOfEachDtype) {
    for (const DType dtype : dtypes) {
        SCOPED_TRACE(name_of(dtype));
        feed({out_.blob(dtype, Shape{}), out_.blob(dtype, Shape{0}), out_.blob(dtype, Shape{3, 0, 2})});
    }
}

TEST_P(AnyOperator, TakesOneElementOfEachDtype) {
    for (const DType dtype : dtypes) {
        SCOPED_TRACE(name_of(dtype));
        feed({out_.blob(dtype, Shape{1})});
        feed({out_.blob(dtype, Shape{1}), out_.blob(dtype, Shape{1})});
    }
}

TEST_P(AnyOperator, TakesAnyShapeOfEachDtype) {
    for (const DType dtype : dtypes) {
        SCOPED_TRACE(name_of(dtype));
        feed({out_.blob(dtype, Shape{5, 7, 3}), out_.blob(dtype, Shape{5, 7, 3}),
              out_.blob(dtype, Shape{1, 2, 1, 2, 1, 2, 1, 3}), out_.blob(dtype, Shape{257})});
    }
}

TEST_P(AnyOperator, TakesTypesInAnyOrder) {
    std::vector<Payload> payloads;
    for (int turn = 0; turn < 3; ++turn) {
        for (const DType dtype : dtypes) payloads.push_back(out_.blob(dtype, Shape{12}));
    }

    feed(payloads);
}

TEST_P(AnyOperator, TakesHugeMetadata) {
    const std::string huge(60'000, 'x');
    for (const DType dtype : dtypes) {
        SCOPED_TRACE(name_of(dtype));
        std::vector<Payload> payloads;
        for (int i = 0; i < 3; ++i) {
            RawDraft draft = draft_of(out_, dtype, Shape{4});
            std::ranges::fill(draft.bytes(), std::byte{1});
            draft.set("huge", huge);
            draft.set("key", i);
            draft.set_user_id(7);
            payloads.push_back(out_.sealed(std::move(draft)));
        }
        feed(payloads);
    }
}

TEST_P(AnyOperator, TakesFullMetadata) {
    auto draft = out_.draft<double>(4);
    draft.set("k", std::string(max_metadata_bytes - 7, 'x'));

    feed({out_.sealed(std::move(draft))});
}

TEST_P(AnyOperator, TakesMetadataOfHostileBytes) {
    std::mt19937_64 random{1};
    for (int turn = 0; turn < 50; ++turn) {
        auto draft = out_.draft<char>(4);
        std::copy_n("1,2,", 4, draft.begin());
        std::byte* bytes = draft.body()->metadata.grow(random() % 200);
        const std::size_t size = draft.body()->metadata.view().size();
        for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(random() % 6);
        const Payload payload = out_.sealed(std::move(draft));
        handles([&] {
            Operator made = make();
            if (auto* sink = std::get_if<std::unique_ptr<Sink>>(&made)) (*sink)->consume(payload);
            if (auto* processor = std::get_if<std::unique_ptr<Processor>>(&made)) (*processor)->process(payload, out_);
        });
        out_.emitted.clear();
    }
}

template <class T>
std::vector<T> odd_numbers() {
    using limits = std::numeric_limits<T>;
    return {limits::quiet_NaN(),
            limits::infinity(),
            -limits::infinity(),
            limits::max(),
            limits::lowest(),
            limits::min(),
            limits::denorm_min(),
            T{0},
            -T{0},
            T{1}};
}

TEST_P(AnyOperator, TakesNumbersThatAreNotFinite) {
    feed({out_.vector(odd_numbers<double>()), out_.vector(odd_numbers<double>())});
    feed({out_.vector(odd_numbers<float>()), out_.vector(odd_numbers<float>())});
    const std::vector<double> none(100, std::numeric_limits<double>::quiet_NaN());
    feed({out_.vector(none), out_.vector(none, Shape{5, 5, 4})});
}

TEST_P(AnyOperator, TakesInvalidUtf8) {
    feed({out_.text("\xff\xfe,\xc0\x80,\xed\xa0\x80\n\x80"), out_.text("1,\xf5\x80\x80\x80,x\r\n\"\xff")});
}

TEST_P(AnyOperator, TakesRandomBytesAsText) {
    std::mt19937_64 random{2};
    std::vector<Payload> payloads;
    for (int turn = 0; turn < 40; ++turn) {
        std::string bytes(random() % 300, '\0');
        for (auto& byte : bytes) {
            byte = turn % 2 == 0 ? static_cast<char>(random()) : "0123456789.,\"\n\r-e \\"[random() % 19];
        }
        payloads.push_back(out_.text(bytes));
    }

    feed(payloads);
}

TEST_P(AnyOperator, TakesManyPayloads) {
    std::vector<Payload> payloads;
    for (int i = 0; i < 3000; ++i) payloads.push_back(out_.vector<double>({1.0 * i, 2, 3}));

    feed(payloads);
}

TEST(RequiredParameters, AreOfOperatorsThatThereAre) {
    const Registry registry = Registry::with_builtins();
    for (const auto& entry : required()) EXPECT_NE(registry.find(entry.first), nullptr) << entry.first;
}

INSTANTIATE_TEST_SUITE_P(Builtins, AnyOperator, testing::ValuesIn(operators()),
                         [](const auto& test) { return test.param->name; });

}  // namespace
}  // namespace penstock
