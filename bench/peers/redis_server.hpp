#pragma once

#include <memory>
#include <string>
#include <vector>

#include <hiredis/hiredis.h>

#include "peers/harness.hpp"

namespace penstock::bench {

struct ReplyDeleter {
    void operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }
};
using Reply = std::unique_ptr<redisReply, ReplyDeleter>;

struct RedisDeleter {
    void operator()(redisContext* redis) const noexcept { redisFree(redis); }
};

/// One connection to the server of the run.
class Redis {
public:
    explicit Redis(const Context& context);

    /// Puts a command into the buffer; nothing is sent yet.
    void append(const std::vector<std::string_view>& command);
    /// Sends the buffer and forgets how large it was.
    void flush();
    /// The next reply; sends the buffer first. Bounded.
    /// @throws std::runtime_error if it is an error.
    [[nodiscard]] Reply reply();
    /// The next reply that has arrived, or none within the time.
    [[nodiscard]] Reply poll_reply(int timeout_ms);
    [[nodiscard]] std::size_t pending_bytes() const noexcept;

private:
    std::unique_ptr<redisContext, RedisDeleter> redis_;
};

/// A server for this run alone: on a private unix socket, nothing on disk, no limit on what a subscriber may be behind.
[[nodiscard]] Server start_redis(const Context& context);

/// The bytes of a blob, as an argument of a command.
[[nodiscard]] inline std::string_view text(std::span<const std::byte> blob) noexcept {
    return {reinterpret_cast<const char*>(blob.data()), blob.size()};
}

/// The bytes of a string reply.
/// @throws std::runtime_error if it is not one.
[[nodiscard]] std::span<const std::byte> bytes(const redisReply* reply);

}  // namespace penstock::bench
