#pragma once

#include <span>
#include <string>
#include <string_view>

#include <penstock/operator.hpp>

namespace penstock {

// Several payloads become one, which keeps them until it is settled.

/// Whether `stack` can take both: texts, or the same dtype and shape with a dimension to spare.
/// @return why not, or nothing.
[[nodiscard]] std::string why_not_stacked(const Payload& first, const Payload& other);

/// Texts one after another with `separator` between them; other payloads along a new first dimension.
/// REQUIRES: at least one, `why_not_stacked` is empty for all.
[[nodiscard]] RawDraft stack(std::span<const Payload> payloads, std::string_view separator, Output& out);

/// Whether `concatenate` can take both: the same dtype. @return why not, or nothing.
[[nodiscard]] std::string why_not_concatenated(const Payload& first, const Payload& other);

/// Texts one after another with `separator` between them; the elements of other payloads one after another, along the
/// first dimension where the other dimensions agree, else in one dimension.
/// REQUIRES: at least one, `why_not_concatenated` is empty for all.
[[nodiscard]] RawDraft concatenate(std::span<const Payload> payloads, std::string_view separator, Output& out);

}  // namespace penstock
