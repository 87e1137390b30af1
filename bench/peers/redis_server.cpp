#include "peers/redis_server.hpp"

#include <cerrno>
#include <stdexcept>

#include <poll.h>
#include <unistd.h>

namespace penstock::bench {
namespace {

constexpr double start_s = 10;
constexpr timeval io_timeout{.tv_sec = 15, .tv_usec = 0};

[[nodiscard]] std::string socket_file(const Context& context) {
    return context.directory + "/redis.sock";
}

}  // namespace

Redis::Redis(const Context& context) : redis_{redisConnectUnixWithTimeout(socket_file(context).c_str(), io_timeout)} {
    if (!redis_ || redis_->err != 0) {
        throw std::runtime_error{std::string{"cannot connect to redis-server: "} +
                                 (redis_ ? redis_->errstr : "no memory")};
    }
    redisSetTimeout(redis_.get(), io_timeout);
    redis_->reader->maxbuf = 0;  // keeps the buffer between large replies instead of growing it anew
}

void Redis::append(const std::vector<std::string_view>& command) {
    std::vector<const char*> texts;
    std::vector<std::size_t> sizes;
    for (const std::string_view argument : command) {
        texts.push_back(argument.data());
        sizes.push_back(argument.size());
    }
    if (redisAppendCommandArgv(redis_.get(), static_cast<int>(texts.size()), texts.data(), sizes.data()) != REDIS_OK) {
        throw std::runtime_error{std::string{"redis: "} + redis_->errstr};
    }
}

void Redis::flush() {
    int is_done = 0;
    while (is_done == 0) {
        if (redisBufferWrite(redis_.get(), &is_done) != REDIS_OK)
            throw std::runtime_error{std::string{"redis: "} + redis_->errstr};
    }
}

Reply Redis::reply() {
    void* reply = nullptr;
    if (redisGetReply(redis_.get(), &reply) != REDIS_OK)
        throw std::runtime_error{std::string{"redis: "} + redis_->errstr};
    Reply result{static_cast<redisReply*>(reply)};
    if (result->type == REDIS_REPLY_ERROR) throw std::runtime_error{std::string{"redis: "} + result->str};
    return result;
}

Reply Redis::poll_reply(int timeout_ms) {
    while (true) {
        void* reply = nullptr;
        if (redisGetReplyFromReader(redis_.get(), &reply) != REDIS_OK) {
            throw std::runtime_error{std::string{"redis: "} + redis_->errstr};
        }
        if (reply != nullptr) return Reply{static_cast<redisReply*>(reply)};
        pollfd wait{.fd = redis_->fd, .events = POLLIN, .revents = 0};
        const int ready = poll(&wait, 1, timeout_ms);
        if (ready == 0 || (ready < 0 && errno == EINTR)) return {};
        if (redisBufferRead(redis_.get()) != REDIS_OK)
            throw std::runtime_error{std::string{"redis: "} + redis_->errstr};
    }
}

std::size_t Redis::pending_bytes() const noexcept {
    return sdslen(redis_->obuf);
}

Server start_redis(const Context& context) {
    const std::string socket = socket_file(context);
    Server server{{"redis-server",
                   "--port",
                   "0",
                   "--unixsocket",
                   socket,
                   "--unixsocketperm",
                   "700",
                   "--save",
                   "",
                   "--appendonly",
                   "no",
                   "--daemonize",
                   "no",
                   "--dir",
                   context.directory,
                   "--maxmemory",
                   "0",
                   "--proto-max-bulk-len",
                   "512mb",
                   "--client-output-buffer-limit",
                   "pubsub 0 0 0"},
                  context.directory + "/redis.log"};
    wait_until(
        [&] {
            server.check_alive();
            return access(socket.c_str(), R_OK | W_OK) == 0;
        },
        start_s, "starting redis-server");
    return server;
}

std::span<const std::byte> bytes(const redisReply* reply) {
    if (reply->type != REDIS_REPLY_STRING) throw std::runtime_error{"redis: a blob is missing"};
    return {reinterpret_cast<const std::byte*>(reply->str), reply->len};
}

}  // namespace penstock::bench
