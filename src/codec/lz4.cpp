#include <algorithm>
#include <cstddef>
#include <limits>

#include <lz4.h>
#include <lz4hc.h>

#include "codec/codecs.hpp"

namespace penstock {
namespace {

constexpr int first_hc_level = 3;

[[nodiscard]] const char* chars(std::span<const std::byte> bytes) noexcept {
    return reinterpret_cast<const char*>(bytes.data());
}

[[nodiscard]] char* chars(std::span<std::byte> bytes) noexcept {
    return reinterpret_cast<char*>(bytes.data());
}

/// LZ4 counts in int.
[[nodiscard]] int count_of(std::size_t bytes) noexcept {
    return static_cast<int>(std::min<std::size_t>(bytes, std::numeric_limits<int>::max()));
}

class Lz4Compressor final : public Compressor {
public:
    explicit Lz4Compressor(int level)
        : level_{level},
          state_{std::make_unique_for_overwrite<std::max_align_t[]>(
              words(static_cast<std::size_t>(level < first_hc_level ? LZ4_sizeofState() : LZ4_sizeofStateHC())))} {}

    std::size_t compress(std::span<const std::byte> blob, std::span<std::byte> into) override {
        if (blob.size() > LZ4_MAX_INPUT_SIZE) return 0;
        const int size = count_of(blob.size());
        const int room = count_of(into.size());
        const int written =
            level_ < first_hc_level
                ? LZ4_compress_fast_extState(state_.get(), chars(blob), chars(into), size, room, 1)
                : LZ4_compress_HC_extStateHC(state_.get(), chars(blob), chars(into), size, room, level_);
        return static_cast<std::size_t>(written);
    }

private:
    [[nodiscard]] static std::size_t words(std::size_t bytes) noexcept {
        return (bytes + sizeof(std::max_align_t) - 1) / sizeof(std::max_align_t);
    }

    int level_;
    std::unique_ptr<std::max_align_t[]> state_;
};

class Lz4Decompressor final : public Decompressor {
public:
    bool decompress(std::span<const std::byte> packed, std::span<std::byte> into) override {
        constexpr std::size_t most = std::numeric_limits<int>::max();
        if (packed.size() > most || into.size() > most) return false;
        return LZ4_decompress_safe(chars(packed), chars(into), count_of(packed.size()), count_of(into.size())) ==
               count_of(into.size());
    }
};

}  // namespace

std::unique_ptr<Compressor> make_lz4_compressor(int level) {
    return std::make_unique<Lz4Compressor>(level);
}

std::unique_ptr<Decompressor> make_lz4_decompressor() {
    return std::make_unique<Lz4Decompressor>();
}

}  // namespace penstock
