#include "support/library_uses.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

#ifdef PENSTOCK_HAS_UCX
#include <dlfcn.h>
#include <ucp/api/ucp.h>
#endif

// The names under which the C library offers its own, for those who put functions in front of them.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* memory, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
void __libc_free(void* memory);
}

namespace {

// Of the executable, so that no access to it takes memory.
[[gnu::tls_model("initial-exec")]] thread_local penstock::testing::LibraryUses uses;

[[nodiscard]] void* taken(std::size_t bytes, std::size_t alignment) {
    ++uses.ours;
    if (void* memory = __libc_memalign(alignment, std::max<std::size_t>(bytes, 1))) return memory;
    throw std::bad_alloc{};
}

}  // namespace

penstock::testing::LibraryUses penstock::testing::library_uses() noexcept {
    return uses;
}

extern "C" {

void* malloc(std::size_t bytes) {
    ++uses.of_libraries;
    return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) {
    ++uses.of_libraries;
    return __libc_calloc(count, bytes);
}
void* realloc(void* memory, std::size_t bytes) {
    ++uses.of_libraries;
    return __libc_realloc(memory, bytes);
}
void* memalign(std::size_t alignment, std::size_t bytes) {
    ++uses.of_libraries;
    return __libc_memalign(alignment, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) {
    ++uses.of_libraries;
    return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) {
    ++uses.of_libraries;
    *memory = __libc_memalign(alignment, bytes);
    return *memory == nullptr ? 12 : 0;  // ENOMEM
}
void free(void* memory) {
    __libc_free(memory);
}

}  // extern "C"

// The other forms of new and delete come down to these.
void* operator new(std::size_t bytes) {
    return taken(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return taken(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    __libc_free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    __libc_free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    __libc_free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    __libc_free(memory);
}

#ifdef PENSTOCK_HAS_UCX

namespace {

/// Whether a call comes from the test or from penstock, and not from within UCX.
[[nodiscard]] bool is_ours(const void* caller) {
    Dl_info there{};
    Dl_info here{};
    return dladdr(caller, &there) != 0 &&
           dladdr(reinterpret_cast<const void*>(&penstock::testing::library_uses), &here) != 0 &&
           there.dli_fbase == here.dli_fbase;
}

template <class Function>
[[nodiscard]] Function* theirs(const char* name) {
    void* found = dlsym(RTLD_NEXT, name);
    if (found == nullptr) std::abort();
    return reinterpret_cast<Function*>(found);
}

}  // namespace

extern "C" {

ucs_status_t ucp_mem_map(ucp_context_h context, const ucp_mem_map_params_t* params, ucp_mem_h* memory) {
    if (is_ours(__builtin_return_address(0))) ++uses.registrations;
    return theirs<decltype(ucp_mem_map)>("ucp_mem_map")(context, params, memory);
}
ucs_status_t ucp_ep_rkey_unpack(ucp_ep_h endpoint, const void* packed, ucp_rkey_h* key) {
    if (is_ours(__builtin_return_address(0))) ++uses.key_unpacks;
    return theirs<decltype(ucp_ep_rkey_unpack)>("ucp_ep_rkey_unpack")(endpoint, packed, key);
}
ucs_status_t ucp_ep_create(ucp_worker_h worker, const ucp_ep_params_t* params, ucp_ep_h* endpoint) {
    if (is_ours(__builtin_return_address(0))) ++uses.endpoints;
    return theirs<decltype(ucp_ep_create)>("ucp_ep_create")(worker, params, endpoint);
}

}  // extern "C"

#endif
