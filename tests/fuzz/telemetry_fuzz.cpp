#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/time_text.hpp"
#include "operators/telemetry/message.hpp"

// What is read from a message can be written again, and is then read as the same.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace penstock::telemetry;
    const std::vector<char> copy(data, data + size);  // of exactly that size
    const std::string_view text{copy.data(), copy.size()};
    MessageReader reader;
    MessageReader second;
    MessageReader third;
    if (const auto sample = reader.read_sample(text)) {
        std::string first;
        append_sample(first, *sample);
        const auto again = second.read_sample(first);
        if (!again || again->time_ns != sample->time_ns) __builtin_trap();
        // From here on it is UTF-8 and stays as it is.
        std::string twice;
        append_sample(twice, *again);
        const auto last = third.read_sample(twice);
        std::string thrice;
        if (last) append_sample(thrice, *last);
        if (thrice != twice) __builtin_trap();
    }
    if (const auto gpu = reader.read_gpu(text)) {
        std::string first;
        append_gpu(first, *gpu);
        if (!second.read_gpu(first)) __builtin_trap();
    }
    if (const auto time = penstock::parse_time(text)) {
        if (penstock::parse_time(penstock::time_text(*time)) != time) __builtin_trap();
    }
    return 0;
}
