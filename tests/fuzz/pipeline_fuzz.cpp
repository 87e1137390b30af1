#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include <penstock/error.hpp>
#include <penstock/plan.hpp>
#include <penstock/spec.hpp>

#include "plan/describe.hpp"
#include "plan/draw.hpp"

// Whatever a pipeline file holds, reading and planning it ends in a plan or in an Error; and what was read can be
// written and read again.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const auto registry = penstock::Registry::with_builtins();
    const std::string_view text{reinterpret_cast<const char*>(data), size};
    try {
        const auto spec = penstock::parse_pipeline(text, "fuzz.json");
        try {
            static_cast<void>(penstock::parse_pipeline(penstock::to_json(spec)));
        } catch (const penstock::Error&) {
            __builtin_trap();
        }
        const auto chain = penstock::make_chain(spec, registry);
        if (chain.ranks() > 1000) return 0;  // texts as long as that teach nothing
        const std::vector<std::vector<std::uint32_t>> nodes(chain.phases.size());
        static_cast<void>(penstock::draw_ascii(chain));
        static_cast<void>(penstock::draw_dot(chain));
        static_cast<void>(penstock::describe(chain, nodes));
        static_cast<void>(penstock::plan_json(chain, nodes));
    } catch (const penstock::Error&) {
        return 0;
    }
    return 0;
}
