#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include <penstock/memory.hpp>

namespace {

/// A value's text or bytes must lie inside the encoding.
void check(const penstock::MetaValue& value, std::span<const std::byte> encoded) {
    std::span<const std::byte> bytes;
    if (const auto* text = std::get_if<std::string_view>(&value)) bytes = std::as_bytes(std::span{*text});
    if (const auto* raw = std::get_if<std::span<const std::byte>>(&value)) bytes = *raw;
    if (bytes.empty()) return;
    if (bytes.data() < encoded.data() || bytes.data() + bytes.size() > encoded.data() + encoded.size())
        __builtin_trap();
}

}  // namespace

// Whatever stands where metadata should, a scan stays inside it. The first bytes are the key that is looked for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return 0;
    const std::size_t key_bytes = std::min<std::size_t>(data[0], size - 1);
    const std::string key{reinterpret_cast<const char*>(data) + 1, key_bytes};
    const std::vector<std::uint8_t> copy(data + 1 + key_bytes, data + size);  // of exactly that size
    const auto encoded = std::as_bytes(std::span{copy});

    const penstock::MetadataView view{encoded};
    const auto found = view.find(key);
    if (found) check(*found, encoded);
    if (view.integer(key) && !view.number(key)) __builtin_trap();
    if (view.string(key) && !found) __builtin_trap();
    static_cast<void>(view.well_formed());
    return 0;
}
