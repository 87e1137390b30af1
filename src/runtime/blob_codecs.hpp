#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "codec/codec.hpp"
#include "memory/arena.hpp"
#include "memory/payload_body.hpp"

namespace penstock {

/// Makes and reads compressed forms of blobs for all channels of an instance. The libraries keep their memory, so that
/// a payload needs none once the largest has passed. Used by one thread.
class BlobCodecs {
public:
    BlobCodecs(std::uint32_t self, Arena& arena) noexcept : self_{self}, arena_{arena} {}

    /// What is smaller saves nothing that is worth the time.
    static constexpr std::size_t least_bytes = 1024;

    /// The compressed form of a blob that is kept here, made once for all that ask for the same. One that would not
    /// save a sixteenth, or has no room in the arena, has none.
    /// @return one whose `bytes` are 0 if there is none; a copy, as the body may get more of them.
    [[nodiscard]] PackedBlob pack(PayloadBody& body, Compression how);

    /// Gives back the blob itself, of which nobody will need more than its compressed form.
    void let_go(PayloadBody& body) noexcept {
        arena_.release(body.block);
        body.has_block = false;
        body.data = nullptr;
    }

    /// Whether `packed` is the compressed form of a blob of just that size. REQUIRES: this build has the codec.
    [[nodiscard]] bool unpack(Codec codec, std::span<const std::byte> packed, std::span<std::byte> into);

private:
    struct Packer {
        Compression how;
        std::unique_ptr<Compressor> compressor;
    };
    [[nodiscard]] Compressor& compressor(Compression how);
    [[nodiscard]] std::span<std::byte> scratch(std::size_t bytes);

    std::uint32_t self_;
    Arena& arena_;
    std::vector<Packer> packers_;
    std::array<std::unique_ptr<Decompressor>, codec_count> decompressors_;
    std::unique_ptr<std::byte[]> scratch_;
    std::size_t scratch_bytes_ = 0;
};

/// Gives back the blocks of its compressed forms. For its home, once nobody holds it.
inline void release_packed(PayloadBody& body, Arena& arena) noexcept {
    for (const PackedBlob& form : body.packed) {
        if (form.bytes != 0) arena.release(form.block);
    }
    body.packed.clear();
}

}  // namespace penstock
