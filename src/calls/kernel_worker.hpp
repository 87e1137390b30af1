#pragma once

#include <string_view>

#include <penstock/operator.hpp>

namespace penstock {

inline constexpr std::string_view kernel_worker = "kernel-worker";
inline constexpr const char* kernel_key = "kernel";         ///< Metadata of a payload: what is to be run on it.
inline constexpr const char* failure_key = "kernel_error";  ///< Metadata of an answer: why there is no result.

/// Kernels that answer each payload run as they are; they are told of what they cannot use, not left to count it.
/// @throws Error{invalid_input} if there is no such kernel.
[[nodiscard]] Params kernel_params(const Registry& kernels, std::string_view kernel);

/// Adds the processor that runs on each payload the kernel that its metadata names; what a kernel throws is the answer.
void add_kernel_worker(Registry& registry, const Registry& kernels);

}  // namespace penstock
