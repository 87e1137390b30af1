#include "transports/ucx/handles.hpp"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>

#include <ucs/debug/log_def.h>

namespace penstock::ucx {
namespace {

/// UCX would write to standard output, which is the program's.
ucs_log_func_rc_t say_on_standard_error(const char*, unsigned, const char*, ucs_log_level_t level,
                                        const ucs_log_component_config_t*, const char* message, va_list arguments) {
    if (level > UCS_LOG_LEVEL_WARN) return UCS_LOG_FUNC_RC_CONTINUE;  // somebody asked UCX for more than it says
    char text[512];
    std::vsnprintf(text, sizeof text, message, arguments);
    std::fprintf(stderr, "ucx: %s\n", text);
    return UCS_LOG_FUNC_RC_STOP;
}

/// A setting of ours, unless the user has one in that variable.
void set(ucp_config_t* config, const char* name, const char* variable, const std::string& value) {
    if (value.empty() || std::getenv(variable) != nullptr) return;
    // A release without that setting has defaults of its own that are as good.
    static_cast<void>(ucp_config_modify(config, name, value.c_str()));
}

/// UCX warns of settings for transports that are not used.
[[nodiscard]] bool uses_tcp() {
    const char* transports = std::getenv("UCX_TLS");
    return transports == nullptr || std::string_view{transports}.find("tcp") != std::string_view::npos;
}

}  // namespace

std::string text_of(ucs_status_t status) {
    return ucs_status_string(status);
}

Context make_context(const std::string& devices) {
    static std::once_flag once;
    std::call_once(once, [] {
        if (std::getenv("UCX_LOG_FILE") == nullptr) ucs_log_push_handler(say_on_standard_error);
    });
    ucp_config_t* read = nullptr;
    check(ucp_config_read(nullptr, nullptr, &read), "ucp_config_read");
    const std::unique_ptr<ucp_config_t, decltype(&ucp_config_release)> config{read, &ucp_config_release};
    set(read, "NET_DEVICES", "UCX_NET_DEVICES", devices);
    // Its shared memory notices no dead peer, so no endpoint of ours would use it, and leaves files behind when a
    // process is killed while it starts.
    set(read, "TLS", "UCX_TLS", "^sm,self");
    // A message of the usual length in one piece: several cost more, and UCX takes memory to put them together.
    if (uses_tcp()) set(read, "TX_SEG_SIZE", "UCX_TCP_TX_SEG_SIZE", "64k");

    ucp_params_t params{};
    params.field_mask = UCP_PARAM_FIELD_FEATURES;
    params.features = UCP_FEATURE_AM | UCP_FEATURE_TAG | UCP_FEATURE_WAKEUP;
    ucp_context_h context = nullptr;
    check(ucp_init(&params, read, &context), "ucp_init");
    return Context{context};
}

Worker make_worker(const Context& context) {
    ucp_worker_params_t params{};
    params.field_mask = UCP_WORKER_PARAM_FIELD_THREAD_MODE | UCP_WORKER_PARAM_FIELD_FLAGS;
    params.thread_mode = UCS_THREAD_MODE_SINGLE;
    params.flags = UCP_WORKER_FLAG_IGNORE_REQUEST_LEAK;  // what was under way to a dead peer
    ucp_worker_h worker = nullptr;
    check(ucp_worker_create(context.get(), &params, &worker), "ucp_worker_create");
    return Worker{worker};
}

RegisteredMemory register_memory(const Context& context, void* address, std::size_t bytes) {
    ucp_mem_map_params_t params{};
    params.field_mask =
        UCP_MEM_MAP_PARAM_FIELD_ADDRESS | UCP_MEM_MAP_PARAM_FIELD_LENGTH | UCP_MEM_MAP_PARAM_FIELD_FLAGS;
    params.address = address;
    params.length = bytes;
    params.flags = UCP_MEM_MAP_NONBLOCK;  // pages that nobody has used yet need not exist
    ucp_mem_h memory = nullptr;
    check(ucp_mem_map(context.get(), &params, &memory), "ucp_mem_map");
    return RegisteredMemory{Registered{context.get(), memory}};
}

bool takes_device_memory(const Context& context) {
    ucp_context_attr_t attributes{};
    attributes.field_mask = UCP_ATTR_FIELD_MEMORY_TYPES;
    check(ucp_context_query(context.get(), &attributes), "ucp_context_query");
    return (attributes.memory_types & UCS_BIT(UCS_MEMORY_TYPE_CUDA)) != 0;
}

std::string address_of(const Worker& worker) {
    ucp_address_t* address = nullptr;
    std::size_t bytes = 0;
    check(ucp_worker_get_address(worker.get(), &address, &bytes), "ucp_worker_get_address");
    std::string text{reinterpret_cast<const char*>(address), bytes};
    ucp_worker_release_address(worker.get(), address);
    return text;
}

}  // namespace penstock::ucx
