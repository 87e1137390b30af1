#pragma once

#include <memory>

#include "codec/codec.hpp"

/// What each library gives, for codec.cpp alone.
namespace penstock {

[[nodiscard]] std::unique_ptr<Compressor> make_lz4_compressor(int level);
[[nodiscard]] std::unique_ptr<Decompressor> make_lz4_decompressor();
[[nodiscard]] std::unique_ptr<Compressor> make_zstd_compressor(int level);
[[nodiscard]] std::unique_ptr<Decompressor> make_zstd_decompressor();
[[nodiscard]] std::unique_ptr<Compressor> make_zlib_compressor(int level);
[[nodiscard]] std::unique_ptr<Decompressor> make_zlib_decompressor();

}  // namespace penstock
