#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace penstock {

/// Instruction sets that the kernels that compute much are compiled for. Results are the same, bit for bit.
enum class Isa : std::uint8_t { baseline, avx2, avx512 };

[[nodiscard]] std::string_view name_of(Isa isa) noexcept;

/// What this CPU has, the baseline of the build first.
[[nodiscard]] std::vector<Isa> available_isas();

/// What kernels use: the last of the available ones, unless `use_isa` chose another.
[[nodiscard]] Isa isa_in_use() noexcept;

/// For tests and measurements: from now on, in the whole process. REQUIRES: it is available.
void use_isa(Isa isa) noexcept;

}  // namespace penstock
