#pragma once

#include <penstock/operator.hpp>

namespace penstock::test {

/// Adds operators that fail, block, crawl and record, for tests of whole runs:
///
/// throwing_source, throwing_processor, throwing_sink  throw `kind` (error, std, unknown) in `where` (constructor,
/// call, tick,
///                  finish), in a call after `after` payloads
/// stuck_processor  never returns from the call after `after` payloads
/// ticking_processor  emits its number at each of `most` ticks, `every` apart, and nothing else; counts "early" ticks
/// ticking_sink     counts its ticks and those that come "early"
/// slow_sink        blocks its thread for `delay` at each payload
/// tagged_source    payloads with a user id and one of the strings `keys` in turn as metadata "key"
/// recorder         one JSON line for each payload in the result file `output`
void add_test_operators(Registry& registry);

}  // namespace penstock::test
