#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#if defined(PENSTOCK_HAS_KOKKOS)
#include <Kokkos_Core.hpp>
#endif

#include "base/morsel_pool.hpp"
#include "kernels/function.hpp"
#include "kernels/isa.hpp"

/// How kernels are run: on the threads of the instance where it has several, else by Kokkos where it is found, and by
/// plain loops where not. For the .cpp files of kernels only.
namespace penstock {

/// Elements of one piece of work. So many fit into the first level of a cache.
inline constexpr std::size_t block_elements = 4096;

/// A kernel with the indices of one block. The copy of the kernel is local, so that what it points to cannot be the
/// kernel itself: without that, compilers do not vectorise the loop.
template <class Kernel>
struct BlockOfIndices {
    Kernel kernel;
    std::size_t count;
    std::size_t grain;

    PENSTOCK_FUNCTION void operator()(std::size_t block) const {
        const Kernel local = kernel;
        const std::size_t end = (block + 1) * grain < count ? (block + 1) * grain : count;
        for (std::size_t i = block * grain; i < end; ++i) local(i);
    }
};

#if defined(__x86_64__) && !defined(__CUDACC__)

/// Work compiled for each instruction set. All of it must be inlined: only then it is compiled anew. That results are
/// the same needs -ffp-contract=off, which forbids to round once where two operations round twice.
template <class Work>
struct ForEachIsa {
    Work work;
    Isa isa;

    void operator()(std::size_t piece) const {
        switch (isa) {
            case Isa::avx512: return with_avx512(work, piece);
            case Isa::avx2: return with_avx2(work, piece);
            case Isa::baseline: break;
        }
        work(piece);
    }

    [[gnu::target("avx512f,avx512bw,avx512dq,avx512vl"), gnu::flatten]] static void with_avx512(const Work& work,
                                                                                                std::size_t piece) {
        work(piece);
    }
    [[gnu::target("avx2"), gnu::flatten]] static void with_avx2(const Work& work, std::size_t piece) { work(piece); }
};

template <class Work>
[[nodiscard]] ForEachIsa<Work> for_each_isa(const Work& work) {
    return {work, isa_in_use()};
}

#else

template <class Work>
[[nodiscard]] const Work& for_each_isa(const Work& work) {
    return work;
}

#endif

/// Whole pieces, so many that they are a morsel together.
template <class Work>
void run_on(Executor& executor, std::size_t count, const Work& work, std::size_t piece_bytes) {
    executor.for_each_morsel(count, piece_bytes, [&work](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) work(i);
    });
}

#if defined(PENSTOCK_HAS_KOKKOS)

using HostSpace = Kokkos::DefaultHostExecutionSpace;

/// Starts Kokkos at the first kernel of a process, unless the program did: not earlier, since it does not survive a
/// fork.
inline void start_kokkos() {
    if (Kokkos::is_initialized()) return;
    static const Kokkos::ScopeGuard guard;
}

/// Runs work(0) ... work(count - 1), in any order. @param piece_bytes  Of the blob, for each.
template <class Work>
void for_each_piece(std::size_t count, const Work& work, std::size_t piece_bytes) {
    if (Executor* const executor = executor_in_use()) return run_on(*executor, count, work, piece_bytes);
    start_kokkos();
    Kokkos::parallel_for(Kokkos::RangePolicy<HostSpace, Kokkos::IndexType<std::size_t>>(0, count), work);
    HostSpace{}.fence();
}

/// How many pieces run at once.
inline std::size_t pieces_at_once() {
    if (const Executor* const executor = executor_in_use()) return static_cast<std::size_t>(executor->threads());
    start_kokkos();
    return static_cast<std::size_t>(std::max(1, HostSpace{}.concurrency()));
}

#else

template <class Work>
void for_each_piece(std::size_t count, const Work& work, std::size_t piece_bytes) {
    if (Executor* const executor = executor_in_use()) return run_on(*executor, count, work, piece_bytes);
    for (std::size_t i = 0; i < count; ++i) work(i);
}

inline std::size_t pieces_at_once() {
    const Executor* const executor = executor_in_use();
    return executor == nullptr ? 1 : static_cast<std::size_t>(executor->threads());
}

#endif

/// Of the blob, for each index: what the kernel says, else an element of its `x`.
template <class Kernel>
[[nodiscard]] std::size_t index_bytes_of(const Kernel& kernel) {
    if constexpr (requires { kernel.index_bytes(); }) {
        return kernel.index_bytes();
    } else {
        return sizeof(*kernel.x);
    }
}

/// Runs kernel(0) ... kernel(count - 1), in any order.
/// @param grain  Indices of one piece of work.
template <class Kernel>
void for_each_index(std::size_t count, const Kernel& kernel, std::size_t grain = block_elements) {
    if (count == 0) return;
    for_each_piece((count + grain - 1) / grain, for_each_isa(BlockOfIndices<Kernel>{kernel, count, grain}),
                   grain * index_bytes_of(kernel));
}

template <class Kernel, class Result>
struct BlockResult {
    Kernel kernel;
    Result* results;
    std::size_t first;
    std::size_t count;

    PENSTOCK_FUNCTION void operator()(std::size_t piece) const {
        const Kernel local = kernel;
        const std::size_t begin = (first + piece) * block_elements;
        results[piece] = local(begin, begin + block_elements < count ? begin + block_elements : count);
    }
};

/// Joins the results of kernel(begin, end) for the blocks of `count` elements, in the order of the blocks: the same
/// input gives the same result whatever runs it.
template <class Result, class Kernel>
[[nodiscard]] Result reduce_blocks(std::size_t count, const Kernel& kernel) {
    constexpr std::size_t at_once = 256;
    std::array<Result, at_once> results;
    const std::size_t blocks = (count + block_elements - 1) / block_elements;
    Result total{};
    for (std::size_t first = 0; first < blocks; first += at_once) {
        const std::size_t pieces = std::min(at_once, blocks - first);
        for_each_piece(pieces, for_each_isa(BlockResult<Kernel, Result>{kernel, results.data(), first, count}),
                       block_elements * index_bytes_of(kernel));
        for (std::size_t i = 0; i < pieces; ++i) total.join(results[i]);
    }
    return total;
}

}  // namespace penstock
