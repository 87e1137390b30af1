#include "calls/call_stages.hpp"

#include <memory>
#include <string>
#include <utility>

#include <penstock/graph.hpp>

namespace penstock {
namespace {

constexpr std::chrono::seconds longest_nap{1};

/// Sends what is called.
class CallSource final : public Source {
public:
    CallSource(const CallPorts& ports, StageContext& context) : ports_{ports}, context_{context} {
        ports_.queue.set_wake([this] { context_.wake(); });
    }
    ~CallSource() override {
        ports_.queue.set_wake({});
        ports_.queue.close();
        ports_.drafts.refuse();
        // Calls that were not sent fail with the run, which knows why it ends.
        CallQueue::Item item;
        while (ports_.queue.pop(item) == CallQueue::State::item) const RawDraft dropped{item.body};
    }
    CallSource(const CallSource&) = delete;
    CallSource& operator=(const CallSource&) = delete;

    bool produce(Output& out) override {
        if (!std::exchange(goes_, true)) ports_.on_going();
        CallQueue::Item item;
        switch (ports_.queue.pop(item)) {
            case CallQueue::State::item: send(item, out); return true;
            case CallQueue::State::empty: context_.wait_until(SteadyClock::now() + longest_nap); return true;
            case CallQueue::State::closed: break;
        }
        ports_.on_closed();
        return false;
    }

private:
    void send(const CallQueue::Item& item, Output& out) {
        const std::uint64_t id = item.body->user_id;
        // Or it would count as settled before anybody is told that it failed.
        add_reference(item.body);
        const RawDraft held{item.body};
        try {
            out.emit(item.edge, RawDraft{item.body});
        } catch (const Error& error) {
            // A payload that a channel does not take is the caller's mistake alone.
            if (error.code() == Errc::invalid_input || error.code() == Errc::exhausted) {
                return ports_.table.fail(id, error);
            }
            ports_.drafts.on_end();
            throw;
        } catch (...) {
            ports_.drafts.on_end();  // the end of the run fails this call, too, and knows why
            throw;
        }
    }

    const CallPorts& ports_;
    StageContext& context_;
    bool goes_ = false;
};

/// Gives answers to those who wait for them.
class AnswerSink final : public Sink {
public:
    AnswerSink(const CallPorts& ports, StageContext& context) : ports_{ports}, context_{context} {}
    ~AnswerSink() override { ports_.answers.settle_all(); }
    AnswerSink(const AnswerSink&) = delete;
    AnswerSink& operator=(const AnswerSink&) = delete;

    void consume(const Payload& in) override {
        const auto id = in.user_id();
        const auto expected = ports_.table.expects(id);
        if (!expected) return context_.count("unasked", 1);
        ports_.table.answer(*id, ports_.answers.take(in, expected->user_id));
    }

private:
    const CallPorts& ports_;
    StageContext& context_;
};

[[nodiscard]] OperatorInfo start_info() {
    return {.name = std::string{Graph::start}, .kind = OperatorKind::source, .help = "Sends calls."};
}
[[nodiscard]] OperatorInfo done_info() {
    return {.name = std::string{Graph::done}, .kind = OperatorKind::sink, .help = "Receives answers."};
}

}  // namespace

void declare_call_stages(Registry& registry) {
    registry.add(start_info(), {});
    registry.add(done_info(), {});
}

void add_call_stages(Registry& registry, const CallPorts& ports) {
    registry.add(start_info(), [&ports](const Params&, StageContext& context) -> Operator {
        return std::make_unique<CallSource>(ports, context);
    });
    registry.add(done_info(), [&ports](const Params&, StageContext& context) -> Operator {
        return std::make_unique<AnswerSink>(ports, context);
    });
}

}  // namespace penstock
