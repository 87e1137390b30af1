#include "transports/ofi/handles.hpp"

#include <cstdlib>

#include <rdma/fi_errno.h>

namespace penstock::ofi {

std::string text_of(long error) {
    return library().strerror(static_cast<int>(std::labs(error)));
}

}  // namespace penstock::ofi
