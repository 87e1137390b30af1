#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

#if defined(PENSTOCK_HAS_KOKKOS)
#include <Kokkos_Core.hpp>
#endif

#include "kernels/function.hpp"
#include "kernels/isa.hpp"

/// How kernels are run: by Kokkos where it is found, by plain loops where not. For the .cpp files of kernels only.
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

#if defined(PENSTOCK_HAS_KOKKOS)

using HostSpace = Kokkos::DefaultHostExecutionSpace;

/// Starts Kokkos at the first kernel of a process, unless the program did: not earlier, since it does not survive a
/// fork.
inline void start_kokkos() {
    if (Kokkos::is_initialized()) return;
    static const Kokkos::ScopeGuard guard;
}

/// Runs work(0) ... work(count - 1), in any order.
template <class Work>
void for_each_piece(std::size_t count, const Work& work) {
    start_kokkos();
    Kokkos::parallel_for(Kokkos::RangePolicy<HostSpace, Kokkos::IndexType<std::size_t>>(0, count), work);
    HostSpace{}.fence();
}

/// How many pieces run at once.
inline std::size_t pieces_at_once() {
    start_kokkos();
    return static_cast<std::size_t>(std::max(1, HostSpace{}.concurrency()));
}

#else

template <class Work>
void for_each_piece(std::size_t count, const Work& work) {
    for (std::size_t i = 0; i < count; ++i) work(i);
}

inline std::size_t pieces_at_once() {
    return 1;
}

#endif

/// Runs kernel(0) ... kernel(count - 1), in any order.
/// @param grain  Indices of one piece of work.
template <class Kernel>
void for_each_index(std::size_t count, const Kernel& kernel, std::size_t grain = block_elements) {
    for_each_piece((count + grain - 1) / grain, for_each_isa(BlockOfIndices<Kernel>{kernel, count, grain}));
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
    constexpr std::size_t at_once = 64;
    std::array<Result, at_once> results;
    const std::size_t blocks = (count + block_elements - 1) / block_elements;
    Result total{};
    for (std::size_t first = 0; first < blocks; first += at_once) {
        const std::size_t pieces = std::min(at_once, blocks - first);
        for_each_piece(pieces, for_each_isa(BlockResult<Kernel, Result>{kernel, results.data(), first, count}));
        for (std::size_t i = 0; i < pieces; ++i) total.join(results[i]);
    }
    return total;
}

}  // namespace penstock
