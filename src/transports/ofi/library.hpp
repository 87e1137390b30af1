#pragma once

#include <array>
#include <csignal>

#include <rdma/fabric.h>

namespace penstock::ofi {

/// libfabric's own functions; all others are reached through what these give. Loaded when the transport is: some of its
/// providers take over the signals of a process that only links them.
struct Library {
    decltype(&::fi_getinfo) getinfo;
    decltype(&::fi_dupinfo) dupinfo;
    decltype(&::fi_freeinfo) freeinfo;
    decltype(&::fi_fabric) fabric;
    decltype(&::fi_strerror) strerror;
    decltype(&::fi_version) version;
};

/// @throws Error{unsupported} if it cannot be loaded.
[[nodiscard]] const Library& library();

/// Puts back at its end what a process had set for its signals, whoever has changed it meanwhile.
class KeptSignals {
public:
    KeptSignals() noexcept;
    ~KeptSignals();
    KeptSignals(const KeptSignals&) = delete;
    KeptSignals& operator=(const KeptSignals&) = delete;

private:
    std::array<struct sigaction, NSIG> kept_;
};

}  // namespace penstock::ofi
