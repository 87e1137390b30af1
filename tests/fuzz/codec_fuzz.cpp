#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "codec/codec.hpp"

// The first byte is the codec, the next two the size that a ticket claims; the rest is what came as the blob.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using penstock::Codec;
    if (size < 3) return 0;
    const auto codec = static_cast<Codec>(1 + data[0] % 3);
    if (!penstock::remedy_for(codec).empty()) return 0;
    const std::vector<std::uint8_t> packed(data + 3, data + size);  // of exactly that size
    std::vector<std::byte> blob(data[1] + 256U * data[2]);

    static std::unique_ptr<penstock::Decompressor> decompressors[3];
    auto& decompressor = decompressors[static_cast<std::size_t>(codec) - 1];
    if (!decompressor) decompressor = penstock::make_decompressor(codec);
    if (!decompressor->decompress(std::as_bytes(std::span{packed}), blob)) return 0;

    // What came out goes in again, and comes out again: the memory that is kept has not been spoilt.
    std::vector<std::byte> again(blob.size() + blob.size() / 8 + 128);
    again.resize(penstock::make_compressor({codec})->compress(blob, again));
    std::vector<std::byte> second(blob.size());
    if (!decompressor->decompress(again, second) || second != blob) __builtin_trap();
    return 0;
}
