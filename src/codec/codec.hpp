#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

#include <penstock/compression.hpp>

namespace penstock {

/// Compresses blobs, one after the other. Keeps its memory from one to the next. Used by one thread.
class Compressor {
public:
    virtual ~Compressor() = default;
    /// @return the bytes written to the front of `into`; 0 if the compressed blob does not fit there.
    [[nodiscard]] virtual std::size_t compress(std::span<const std::byte> blob, std::span<std::byte> into) = 0;
};

/// The way back, from bytes that somebody else has sent. Keeps its memory too. Used by one thread.
class Decompressor {
public:
    virtual ~Decompressor() = default;
    /// Whether `packed` is one whole stream that fills `into` to the last byte. Writes nowhere else.
    [[nodiscard]] virtual bool decompress(std::span<const std::byte> packed, std::span<std::byte> into) = 0;
};

/// How to get a codec that this build lacks; empty for one that it has.
[[nodiscard]] std::string_view remedy_for(Codec codec) noexcept;

/// @param how  A level of 0 is the usual one. @throws Error{unsupported} if this build lacks the codec.
[[nodiscard]] std::unique_ptr<Compressor> make_compressor(Compression how);
[[nodiscard]] std::unique_ptr<Decompressor> make_decompressor(Codec codec);

}  // namespace penstock
