#pragma once

#include <string>

#include <ucp/api/ucp.h>

#include <penstock/error.hpp>

#include "base/unique_handle.hpp"

namespace penstock::ucx {

/// UCX's own words for a status.
[[nodiscard]] std::string text_of(ucs_status_t status);

inline void check(ucs_status_t status, std::string_view call, Where where = Where::here()) {
    if (status != UCS_OK) throw Error{Errc::unsupported, std::string{call} + ": " + text_of(status), where};
}

struct ContextTraits {
    using Handle = ucp_context_h;
    static Handle null() noexcept { return nullptr; }
    static void release(Handle handle) noexcept { ucp_cleanup(handle); }
};
using Context = UniqueHandle<ContextTraits>;

struct WorkerTraits {
    using Handle = ucp_worker_h;
    static Handle null() noexcept { return nullptr; }
    static void release(Handle handle) noexcept { ucp_worker_destroy(handle); }
};
using Worker = UniqueHandle<WorkerTraits>;

struct Registered {
    ucp_context_h context = nullptr;
    ucp_mem_h memory = nullptr;
    friend bool operator==(const Registered&, const Registered&) = default;
};
struct RegisteredTraits {
    using Handle = Registered;
    static Handle null() noexcept { return {}; }
    static void release(Handle handle) noexcept { ucp_mem_unmap(handle.context, handle.memory); }
};
using RegisteredMemory = UniqueHandle<RegisteredTraits>;

/// A context for messages and sleeping. Only the devices in `devices`; all if it is empty.
[[nodiscard]] Context make_context(const std::string& devices);
/// For one thread.
[[nodiscard]] Worker make_worker(const Context& context);
/// Registers memory with all devices at once.
[[nodiscard]] RegisteredMemory register_memory(const Context& context, void* address, std::size_t bytes);
/// Whether it moves memory of CUDA devices.
[[nodiscard]] bool takes_device_memory(const Context& context);
/// What others need to reach the worker.
[[nodiscard]] std::string address_of(const Worker& worker);

}  // namespace penstock::ucx
