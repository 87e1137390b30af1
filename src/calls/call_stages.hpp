#pragma once

#include <functional>

#include <penstock/operator.hpp>

#include "calls/answers.hpp"
#include "calls/call_drafts.hpp"
#include "calls/call_queue.hpp"
#include "calls/call_table.hpp"

namespace penstock {

/// What the stages START and DONE share with the callers.
struct CallPorts {
    CallTable& table;
    CallQueue& queue;
    CallDrafts& drafts;
    Answers& answers;
    std::function<void()> on_going;   ///< The run goes.
    std::function<void()> on_closed;  ///< All that was called is sent, and no more comes.
};

/// Makes the operators START and DONE known, for a plan.
void declare_call_stages(Registry& registry);
/// Adds the operators START and DONE. REQUIRES: their instances are threads of this process, and `ports` outlives them.
void add_call_stages(Registry& registry, const CallPorts& ports);

}  // namespace penstock
