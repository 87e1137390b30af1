#include <algorithm>
#include <limits>

#include <zlib.h>

#include <penstock/error.hpp>

#include "codec/codecs.hpp"

namespace penstock {
namespace {

void check(int status) {
    if (status != Z_OK) throw Error{Errc::exhausted, "zlib has no memory for its tables"};
}

/// What is left of both sides; zlib counts in unsigned int, so that it gets them in pieces.
class Sides {
public:
    Sides(std::span<const std::byte> from, std::span<std::byte> into) noexcept : from_{from}, into_{into} {}

    /// Runs one of zlib's functions until it stops or a side is used up.
    /// @return its last status.
    template <class Step>
    [[nodiscard]] int run(z_stream& stream, Step step) noexcept {
        stream.avail_in = 0;
        stream.avail_out = 0;
        int status = Z_OK;
        while (status == Z_OK) {
            if (stream.avail_in == 0) {
                // zlib does not write there, whatever the type says.
                stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(from_.data()));
                stream.avail_in = piece(from_.size());
                from_ = from_.subspan(stream.avail_in);
            }
            if (stream.avail_out == 0) {
                stream.next_out = reinterpret_cast<Bytef*>(into_.data());
                stream.avail_out = piece(into_.size());
                into_ = into_.subspan(stream.avail_out);
            }
            status = step(&stream, from_.empty());
        }
        return status;
    }
    [[nodiscard]] std::size_t left_to_read(const z_stream& stream) const noexcept {
        return from_.size() + stream.avail_in;
    }
    [[nodiscard]] std::size_t left_to_write(const z_stream& stream) const noexcept {
        return into_.size() + stream.avail_out;
    }

private:
    [[nodiscard]] static uInt piece(std::size_t bytes) noexcept {
        return static_cast<uInt>(std::min<std::size_t>(bytes, std::numeric_limits<uInt>::max()));
    }

    std::span<const std::byte> from_;
    std::span<std::byte> into_;
};

class ZlibCompressor final : public Compressor {
public:
    explicit ZlibCompressor(int level) { check(deflateInit(&stream_, level)); }
    ~ZlibCompressor() override { deflateEnd(&stream_); }
    ZlibCompressor(const ZlibCompressor&) = delete;
    ZlibCompressor& operator=(const ZlibCompressor&) = delete;

    std::size_t compress(std::span<const std::byte> blob, std::span<std::byte> into) override {
        deflateReset(&stream_);
        Sides sides{blob, into};
        const int status = sides.run(
            stream_, [](z_stream* stream, bool is_last) { return deflate(stream, is_last ? Z_FINISH : Z_NO_FLUSH); });
        return status == Z_STREAM_END ? into.size() - sides.left_to_write(stream_) : 0;
    }

private:
    z_stream stream_{};  // zlib points back to it
};

class ZlibDecompressor final : public Decompressor {
public:
    ZlibDecompressor() { check(inflateInit(&stream_)); }
    ~ZlibDecompressor() override { inflateEnd(&stream_); }
    ZlibDecompressor(const ZlibDecompressor&) = delete;
    ZlibDecompressor& operator=(const ZlibDecompressor&) = delete;

    bool decompress(std::span<const std::byte> packed, std::span<std::byte> into) override {
        inflateReset(&stream_);
        Sides sides{packed, into};
        const int status = sides.run(stream_, [](z_stream* stream, bool) { return inflate(stream, Z_NO_FLUSH); });
        return status == Z_STREAM_END && sides.left_to_read(stream_) == 0 && sides.left_to_write(stream_) == 0;
    }

private:
    z_stream stream_{};
};

}  // namespace

std::unique_ptr<Compressor> make_zlib_compressor(int level) {
    return std::make_unique<ZlibCompressor>(level);
}

std::unique_ptr<Decompressor> make_zlib_decompressor() {
    return std::make_unique<ZlibDecompressor>();
}

}  // namespace penstock
