#pragma once

#include <string>
#include <string_view>

#include <rdma/fabric.h>
#include <rdma/fi_domain.h>
#include <rdma/fi_endpoint.h>

#include <penstock/error.hpp>

#include "base/unique_handle.hpp"
#include "transports/ofi/library.hpp"

namespace penstock::ofi {

/// libfabric's own words for an error, which may be negative.
[[nodiscard]] std::string text_of(long error);

inline void check(long result, std::string_view call, Where where = Where::here()) {
    if (result < 0) throw Error{Errc::unsupported, std::string{call} + ": " + text_of(result), where};
}

struct InfoTraits {
    using Handle = fi_info*;
    static Handle null() noexcept { return nullptr; }
    static void release(Handle handle) noexcept { library().freeinfo(handle); }
};
using Info = UniqueHandle<InfoTraits>;

/// What libfabric calls a fid: fabrics, domains, queues, endpoints.
template <class Fid>
struct FidTraits {
    using Handle = Fid*;
    static Handle null() noexcept { return nullptr; }
    static void release(Handle handle) noexcept { fi_close(&handle->fid); }
};
using Fabric = UniqueHandle<FidTraits<fid_fabric>>;
using Domain = UniqueHandle<FidTraits<fid_domain>>;
using AddressVector = UniqueHandle<FidTraits<fid_av>>;
using CompletionQueue = UniqueHandle<FidTraits<fid_cq>>;
using EndpointHandle = UniqueHandle<FidTraits<fid_ep>>;
using MemoryRegion = UniqueHandle<FidTraits<fid_mr>>;

}  // namespace penstock::ofi
