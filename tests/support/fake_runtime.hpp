#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <penstock/operator.hpp>

#include "base/morsel_pool.hpp"
#include "memory/arena.hpp"
#include "memory/payload_body.hpp"

namespace penstock::test {

/// Keeps what an operator emits, in order. Must outlive every handle to what it made; any thread may drop them.
class FakeOutput final : public Output, private PayloadHome {
public:
    explicit FakeOutput(std::size_t arena_bytes = 8U << 20U) : arena_{arena_bytes} {}
    FakeOutput(const FakeOutput&) = delete;
    FakeOutput& operator=(const FakeOutput&) = delete;
    ~FakeOutput() override { emitted.clear(); }

    /// A payload as an operator would receive it.
    [[nodiscard]] Payload text(std::string_view content) { return made<char>(content.data(), content.size(), {}); }
    template <Wire T>
    [[nodiscard]] Payload vector(const std::vector<T>& elements, Shape shape = {}) {
        return made<T>(elements.data(), elements.size(), shape);
    }
    /// Of any dtype; the bytes are repeated until the shape is full.
    [[nodiscard]] Payload blob(DType dtype, const Shape& shape, std::string_view bytes = "\x01") {
        RawDraft draft = allocate(dtype, shape);
        const auto room = draft.bytes();
        for (std::size_t i = 0; i < room.size(); ++i) room[i] = static_cast<std::byte>(bytes[i % bytes.size()]);
        return sealed(std::move(draft));
    }
    [[nodiscard]] Payload sealed(RawDraft draft) {
        PayloadBody* body = draft.release();
        if (!body->has_id) body->id = {1, 0, next_sequence_++};
        body->has_id = true;
        return Payload{body};
    }
    [[nodiscard]] std::size_t used_bytes() const noexcept {
        const std::lock_guard lock{mutex_};
        return arena_.used_bytes();
    }

    std::vector<Payload> emitted;
    std::vector<std::string> channels;  ///< Where each went; empty: everywhere.
    /// Called when nobody holds a payload any more, by the thread that dropped it.
    std::function<void(PayloadId)> on_settled;

private:
    template <Wire T>
    Payload made(const T* elements, std::size_t count, const Shape& shape) {
        auto made = shape.dims() == 0 ? draft<T>(count) : draft<T>(shape);
        std::copy_n(elements, count, made.begin());
        return sealed(std::move(made));
    }

    RawDraft allocate(DType dtype, const Shape& shape) override {
        const std::lock_guard lock{mutex_};
        PayloadBody* body = bodies_.take();
        body->home = this;
        body->dtype = dtype;
        body->shape = shape;
        body->size_bytes = shape.count() * size_of(dtype);
        body->block = arena_.allocate(std::max<std::size_t>(body->size_bytes, 1)).value();
        body->data = arena_.at(body->block.offset);
        return RawDraft{body};
    }
    void send(RawDraft draft, std::string_view channel) override { forward(sealed(std::move(draft)), channel); }
    void forward(const Payload& payload, std::string_view channel) override {
        emitted.push_back(payload);
        channels.emplace_back(channel);
    }

    void retire(PayloadBody* body) noexcept override {
        if (on_settled && body->has_id) on_settled(body->id);
        release_kept(*body);
        const std::lock_guard lock{mutex_};
        arena_.release(body->block);
        bodies_.put_back(body);
    }
    void resolve(PayloadBody&) override {}

    mutable std::mutex mutex_;
    Arena arena_;
    BodyPool bodies_;
    std::uint64_t next_sequence_ = 0;
};

/// Remembers the lines.
class FakeLogger final : public Logger {
public:
    void write(LogLevel level, std::string_view message, std::initializer_list<LogField>) override {
        lines.emplace_back(level, message);
    }
    [[nodiscard]] std::vector<std::string> messages() const {
        std::vector<std::string> texts;
        for (const auto& line : lines) texts.push_back(line.second);
        return texts;
    }

    std::vector<std::pair<LogLevel, std::string>> lines;
};

/// Where an operator under test believes it runs. Time passes only by waiting.
class FakeContext final : public StageContext {
public:
    [[nodiscard]] std::string_view stage() const noexcept override { return "stage"; }
    [[nodiscard]] int instance() const noexcept override { return instance_number; }
    [[nodiscard]] int instances() const noexcept override { return instance_count; }
    [[nodiscard]] int upstream_instances() const noexcept override { return 1; }
    [[nodiscard]] int downstream_instances() const noexcept override { return downstream; }
    [[nodiscard]] std::vector<ChannelEnd> inputs() const override { return input_ends; }
    [[nodiscard]] std::vector<ChannelEnd> outputs() const override { return output_ends; }
    [[nodiscard]] std::string result_path(std::string_view name) const override {
        return name.starts_with('/') ? std::string{name} : results + "/" + std::string{name};
    }
    [[nodiscard]] const Provenance& provenance() const noexcept override { return origin; }
    [[nodiscard]] Logger& log() noexcept override { return logger; }
    [[nodiscard]] OutputTotals output_totals() const noexcept override { return totals; }
    void count(std::string_view name, std::uint64_t by) override { counters[std::string{name}] += by; }
    bool wait_until(std::chrono::steady_clock::time_point then) override {
        waits.push_back(then);
        return !stopping;
    }
    void wake() noexcept override {}
    void tick_every(std::chrono::nanoseconds period) override { tick_period = period; }
    [[nodiscard]] Executor& executor() noexcept override { return pool; }
    [[nodiscard]] std::optional<int> communicator() const noexcept override { return stage_communicator; }

    int instance_number = 0;
    int instance_count = 1;
    int downstream = 1;
    std::vector<ChannelEnd> input_ends{{0, "left"}, {1, "right"}};
    std::vector<ChannelEnd> output_ends{{2, "first"}, {3, "second"}};
    bool stopping = false;
    std::string results = ".";
    OutputTotals totals;
    Provenance origin;
    FakeLogger logger;
    std::map<std::string, std::uint64_t> counters;
    std::vector<std::chrono::steady_clock::time_point> waits;
    std::chrono::nanoseconds tick_period{0};  ///< The test calls `tick` itself.
    std::optional<int> stage_communicator;
    MorselPool pool{MorselPool::Options{}};
};

/// The payload as if it had come through that channel.
[[nodiscard]] inline Payload through(std::uint16_t channel, Payload payload) {
    payload.body()->channel = channel;
    return payload;
}

/// A built-in operator of kind T, made as the runtime makes it: with completed parameters.
template <class T>
[[nodiscard]] std::unique_ptr<T> make_builtin(std::string_view name, const Params& given, StageContext& context) {
    const Registry registry = Registry::with_builtins();
    const Params params = registry.complete(*registry.find(name), given, {});
    return std::get<std::unique_ptr<T>>(registry.make(name, params, context));
}

/// Parameters from pairs of name and value.
[[nodiscard]] inline Params params(std::initializer_list<std::pair<const char*, ParamValue>> pairs) {
    Params params;
    for (const auto& [name, value] : pairs) params.set(name, value);
    return params;
}

}  // namespace penstock::test
