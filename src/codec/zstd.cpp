#include <cstdint>

#include <zstd.h>
#include <zstd_errors.h>

#include <penstock/error.hpp>

#include "base/unique_handle.hpp"
#include "codec/codecs.hpp"

namespace penstock {
namespace {

struct CompressionTraits {
    using Handle = ZSTD_CCtx*;
    static Handle null() noexcept { return nullptr; }
    static void release(Handle handle) noexcept { ZSTD_freeCCtx(handle); }
};
struct DecompressionTraits {
    using Handle = ZSTD_DCtx*;
    static Handle null() noexcept { return nullptr; }
    static void release(Handle handle) noexcept { ZSTD_freeDCtx(handle); }
};

[[noreturn]] void no_memory() {
    throw Error{Errc::exhausted, "zstd has no memory for its tables; lower the level of the channel's compression"};
}

class ZstdCompressor final : public Compressor {
public:
    explicit ZstdCompressor(int level) : context_{ZSTD_createCCtx()} {
        if (context_.get() == nullptr) no_memory();
        static_cast<void>(ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_compressionLevel, level));
    }

    std::size_t compress(std::span<const std::byte> blob, std::span<std::byte> into) override {
        const std::size_t written = ZSTD_compress2(context_.get(), into.data(), into.size(), blob.data(), blob.size());
        if (ZSTD_isError(written) == 0) return written;
        if (ZSTD_getErrorCode(written) == ZSTD_error_memory_allocation) no_memory();
        return 0;
    }

private:
    UniqueHandle<CompressionTraits> context_;
};

class ZstdDecompressor final : public Decompressor {
public:
    ZstdDecompressor() : context_{ZSTD_createDCtx()} {
        if (context_.get() == nullptr) no_memory();
    }

    bool decompress(std::span<const std::byte> packed, std::span<std::byte> into) override {
        if (!is_one_frame(packed)) return false;
        return ZSTD_decompressDCtx(context_.get(), into.data(), into.size(), packed.data(), packed.size()) ==
               into.size();
    }

private:
    /// Nothing behind it, and none of the formats before 1.0, whose decoders are old and take memory as they like.
    [[nodiscard]] static bool is_one_frame(std::span<const std::byte> packed) noexcept {
        std::uint32_t magic = 0;
        if (packed.size() < sizeof magic) return false;
        for (std::size_t i = 0; i < sizeof magic; ++i) magic |= static_cast<std::uint32_t>(packed[i]) << (8 * i);
        return magic == ZSTD_MAGICNUMBER && ZSTD_findFrameCompressedSize(packed.data(), packed.size()) == packed.size();
    }

    UniqueHandle<DecompressionTraits> context_;
};

}  // namespace

std::unique_ptr<Compressor> make_zstd_compressor(int level) {
    return std::make_unique<ZstdCompressor>(level);
}

std::unique_ptr<Decompressor> make_zstd_decompressor() {
    return std::make_unique<ZstdDecompressor>();
}

}  // namespace penstock
