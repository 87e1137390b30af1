#include "runtime/blob_codecs.hpp"

#include <algorithm>
#include <cstring>

namespace penstock {

PackedBlob BlobCodecs::pack(PayloadBody& body, Compression how) {
    const auto known = std::ranges::find_if(body.packed, [how](const PackedBlob& form) { return form.how == how; });
    if (known != body.packed.end()) return *known;
    PackedBlob form{.how = how};
    const bool is_ours = body.owner == self_ && body.codec == Codec::none && body.data != nullptr;
    if (!is_ours || body.size_bytes < least_bytes) return form;
    // By way of memory of our own: what it comes to is not known before.
    const auto room = scratch(body.size_bytes - body.size_bytes / 16);
    const std::size_t bytes = compressor(how).compress({body.data, body.size_bytes}, room);
    if (bytes != 0) {
        if (const auto block = arena_.allocate(bytes)) {
            std::memcpy(arena_.at(block->offset), room.data(), bytes);
            form.bytes = bytes;
            form.block = *block;
        }
    }
    body.packed.push_back(form);
    return form;
}

bool BlobCodecs::unpack(Codec codec, std::span<const std::byte> packed, std::span<std::byte> into) {
    auto& decompressor = decompressors_[static_cast<std::size_t>(codec)];
    if (!decompressor) decompressor = make_decompressor(codec);
    return decompressor->decompress(packed, into);
}

Compressor& BlobCodecs::compressor(Compression how) {
    for (const Packer& packer : packers_) {
        if (packer.how == how) return *packer.compressor;
    }
    packers_.push_back({how, make_compressor(how)});
    return *packers_.back().compressor;
}

/// Grows by half at least, so that sizes that vary do not make it grow again and again.
std::span<std::byte> BlobCodecs::scratch(std::size_t bytes) {
    if (bytes > scratch_bytes_) {
        scratch_.reset();
        const std::size_t grown = std::max(bytes, scratch_bytes_ + scratch_bytes_ / 2);
        scratch_ = std::make_unique_for_overwrite<std::byte[]>(grown);
        scratch_bytes_ = grown;
    }
    return {scratch_.get(), bytes};
}

}  // namespace penstock
