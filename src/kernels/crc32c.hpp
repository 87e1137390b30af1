#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace penstock {

/// CRC-32C (Castagnoli), as iSCSI, ext4 and HDFS use it: 0xe3069283 for "123456789". By the processor's instruction
/// where it has one.
/// @param before  Of the bytes before these, for bytes that come in pieces.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

/// The same by tables, for processors without the instruction.
[[nodiscard]] std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

/// Whether `crc32c` uses an instruction here.
[[nodiscard]] bool has_crc32c_instruction() noexcept;

}  // namespace penstock
