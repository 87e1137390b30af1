#include "codec/codec.hpp"

#include <array>
#include <string>

#include <penstock/error.hpp>

#include "codec/codecs.hpp"

namespace penstock {
namespace {

struct Entry {
    std::unique_ptr<Compressor> (*compressor)(int level) = nullptr;
    std::unique_ptr<Decompressor> (*decompressor)() = nullptr;
    std::string_view remedy;
};

/// By Codec.
constexpr std::array<Entry, codec_count> entries{
    Entry{},
#ifdef PENSTOCK_HAS_LZ4
    Entry{make_lz4_compressor, make_lz4_decompressor, ""},
#else
    Entry{nullptr, nullptr, "install liblz4-dev and configure with -DPENSTOCK_LZ4=ON"},
#endif
#ifdef PENSTOCK_HAS_ZSTD
    Entry{make_zstd_compressor, make_zstd_decompressor, ""},
#else
    Entry{nullptr, nullptr, "install libzstd-dev and configure with -DPENSTOCK_ZSTD=ON"},
#endif
#ifdef PENSTOCK_HAS_ZLIB
    Entry{make_zlib_compressor, make_zlib_decompressor, ""},
#else
    Entry{nullptr, nullptr, "install zlib1g-dev and configure with -DPENSTOCK_ZLIB=ON"},
#endif
};

[[nodiscard]] const Entry& entry_of(Codec codec) {
    const Entry& entry = entries[static_cast<std::size_t>(codec)];
    if (entry.compressor != nullptr) return entry;
    throw Error{Errc::unsupported,
                "this build has no " + std::string{name_of(codec)} + "; " + std::string{entry.remedy}};
}

}  // namespace

std::string_view remedy_for(Codec codec) noexcept {
    return entries[static_cast<std::size_t>(codec)].remedy;
}

std::unique_ptr<Compressor> make_compressor(Compression how) {
    return entry_of(how.codec).compressor(how.level == 0 ? levels_of(how.codec).usual : how.level);
}

std::unique_ptr<Decompressor> make_decompressor(Codec codec) {
    return entry_of(codec).decompressor();
}

}  // namespace penstock
