#pragma once

#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "support/fake_runtime.hpp"

namespace penstock::test {

inline ParamValue number(double value) {
    return ParamValue{value};
}

inline ParamValue whole(std::int64_t value) {
    return ParamValue{value};
}

inline ParamValue text(const char* value) {
    return ParamValue{std::string{value}};
}

/// Runs one processor over payloads and keeps what it emits.
class ProcessorTest : public testing::Test {
protected:
    void start(std::string_view name, const Params& given = {}) {
        processor_ = make_builtin<Processor>(name, given, context_);
    }
    void process(const Payload& payload) { processor_->process(payload, out_); }
    void tick() { processor_->tick(out_); }
    void finish() { processor_->finish(out_); }
    [[nodiscard]] const Payload& last() const { return out_.emitted.back(); }
    [[nodiscard]] std::uint64_t counted(const char* name) { return context_.counters[name]; }
    /// Why it cannot be made.
    std::string refusal(std::string_view name, const Params& given) {
        try {
            start(name, given);
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), Errc::invalid_input);
            return error.what();
        }
        return "it was taken";
    }

    FakeContext context_;
    FakeOutput out_;
    std::unique_ptr<Processor> processor_;
};

}  // namespace penstock::test
