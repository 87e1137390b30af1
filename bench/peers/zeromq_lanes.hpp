#pragma once

#include <memory>
#include <string>
#include <vector>

#include "peers/harness.hpp"

namespace penstock::bench {

/// PUSH and PULL sockets. The sender binds and says where; the high-water marks are the window of the run.
class ZeromqLanes {
public:
    enum class Transport { ipc, tcp };

    explicit ZeromqLanes(Transport transport);
    ~ZeromqLanes();

    /// @param message_bytes  Of each message; messages from 64 KiB on are sent without a copy from a pool.
    [[nodiscard]] std::unique_ptr<Sender> make_sender(const Context& context, Lane lane, std::size_t message_bytes);
    [[nodiscard]] std::unique_ptr<Receiver> make_receiver(const Context& context, Lane lane);

private:
    [[nodiscard]] void* zeromq();

    Transport transport_;
    void* zeromq_ = nullptr;                    ///< Made in the process that uses it, after the fork.
    std::vector<std::shared_ptr<void>> pools_;  ///< Kept until ZeroMQ has let go of every buffer.
};

}  // namespace penstock::bench
