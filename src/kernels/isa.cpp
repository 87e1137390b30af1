#include "kernels/isa.hpp"

#include <atomic>

namespace penstock {
namespace {

bool has(Isa isa) noexcept {
#if defined(__x86_64__)
    switch (isa) {
        case Isa::avx512:
            return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
                   __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0;
        case Isa::avx2: return __builtin_cpu_supports("avx2") != 0;
        case Isa::baseline: break;
    }
#endif
    return isa == Isa::baseline;
}

Isa widest() noexcept {
    return has(Isa::avx512) ? Isa::avx512 : (has(Isa::avx2) ? Isa::avx2 : Isa::baseline);
}

std::atomic<Isa>& chosen() noexcept {
    static std::atomic<Isa> isa{widest()};
    return isa;
}

}  // namespace

std::string_view name_of(Isa isa) noexcept {
    switch (isa) {
        case Isa::avx512: return "avx512";
        case Isa::avx2: return "avx2";
        case Isa::baseline: break;
    }
    return "baseline";
}

std::vector<Isa> available_isas() {
    std::vector<Isa> all{Isa::baseline};
    for (const Isa isa : {Isa::avx2, Isa::avx512}) {
        if (has(isa)) all.push_back(isa);
    }
    return all;
}

Isa isa_in_use() noexcept {
    return chosen().load(std::memory_order_relaxed);
}

void use_isa(Isa isa) noexcept {
    chosen().store(isa, std::memory_order_relaxed);
}

}  // namespace penstock
