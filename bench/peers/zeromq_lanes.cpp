#include "peers/zeromq_lanes.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <vector>

#include <zmq.h>

namespace penstock::bench {
namespace {

constexpr std::size_t pooled_from_bytes = 64U << 10U;
constexpr int receive_timeout_ms = 10;
constexpr int send_timeout_ms = 10'000;

void check(int status, const char* call) {
    if (status >= 0) return;
    throw std::runtime_error{std::string{call} + ": " + zmq_strerror(zmq_errno())};
}

class Socket {
public:
    Socket(void* zeromq, int type) : handle_{zmq_socket(zeromq, type)} {
        if (handle_ == nullptr) throw std::runtime_error{std::string{"zmq_socket: "} + zmq_strerror(zmq_errno())};
    }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() { zmq_close(handle_); }

    void set(int option, int value) { check(zmq_setsockopt(handle_, option, &value, sizeof value), "zmq_setsockopt"); }
    [[nodiscard]] void* get() const noexcept { return handle_; }

private:
    void* handle_;
};

/// Buffers that come back when ZeroMQ has written them.
class Pool {
public:
    Pool(std::size_t count, std::size_t size_bytes) : stride_{(size_bytes + 4095) / 4096 * 4096}, free_(count) {
        for (auto& flag : free_) flag.store(true);
        memory_.resize(count * stride_);
    }
    [[nodiscard]] bool has_free() const noexcept { return free_[next_].load(std::memory_order_acquire); }
    [[nodiscard]] std::byte* buffer() noexcept { return memory_.data() + next_ * stride_; }
    /// Hands the buffer out; `put_back` with what it returns makes it free again.
    [[nodiscard]] std::atomic<bool>* take() noexcept {
        std::atomic<bool>* flag = &free_[next_];
        flag->store(false, std::memory_order_relaxed);
        next_ = (next_ + 1) % free_.size();
        return flag;
    }
    static void put_back(void*, void* flag) {
        static_cast<std::atomic<bool>*>(flag)->store(true, std::memory_order_release);
    }

private:
    std::size_t stride_;
    std::vector<std::atomic<bool>> free_;
    std::vector<std::byte> memory_;
    std::size_t next_ = 0;
};

class ZeromqSender final : public Sender {
public:
    ZeromqSender(const Context& context, void* zeromq, const std::string& address, std::size_t message_bytes,
                 std::shared_ptr<Pool> pool)
        : context_{context}, message_bytes_{message_bytes}, pool_{std::move(pool)}, socket_{zeromq, ZMQ_PUSH} {
        socket_.set(ZMQ_SNDHWM, static_cast<int>(slots(context.options)));
        socket_.set(ZMQ_SNDTIMEO, send_timeout_ms);
        socket_.set(ZMQ_LINGER, 0);
        check(zmq_bind(socket_.get(), address.c_str()), "zmq_bind");
    }

    [[nodiscard]] std::string address() const {
        std::array<char, 256> text{};
        std::size_t size = text.size();
        check(zmq_getsockopt(socket_.get(), ZMQ_LAST_ENDPOINT, text.data(), &size), "zmq_getsockopt");
        return text.data();
    }

    std::span<std::byte> loan() override {
        if (!pool_) {
            check(zmq_msg_init_size(&message_, message_bytes_), "zmq_msg_init_size");
            return {static_cast<std::byte*>(zmq_msg_data(&message_)), message_bytes_};
        }
        if (!pool_->has_free()) {
            const Deadline deadline{context_, send_timeout_ms / 1e3};
            while (!pool_->has_free()) {
                deadline.check("waiting for ZeroMQ to give a buffer back");
                context_.relax();
            }
        }
        return {pool_->buffer(), message_bytes_};
    }

    void send() override {
        if (pool_) {
            std::byte* buffer = pool_->buffer();
            check(zmq_msg_init_data(&message_, buffer, message_bytes_, &Pool::put_back, pool_->take()),
                  "zmq_msg_init_data");
        }
        check(zmq_msg_send(&message_, socket_.get(), 0), "zmq_msg_send");
    }

private:
    const Context& context_;
    std::size_t message_bytes_;
    std::shared_ptr<Pool> pool_;  ///< None for small messages, which ZeroMQ allocates.
    Socket socket_;
    zmq_msg_t message_{};
};

class ZeromqReceiver final : public Receiver {
public:
    ZeromqReceiver(const Context& context, void* zeromq, const std::string& address) : socket_{zeromq, ZMQ_PULL} {
        socket_.set(ZMQ_RCVHWM, static_cast<int>(slots(context.options)));
        socket_.set(ZMQ_RCVTIMEO, receive_timeout_ms);
        socket_.set(ZMQ_LINGER, 0);
        check(zmq_connect(socket_.get(), address.c_str()), "zmq_connect");
        zmq_msg_init(&message_);
    }
    ZeromqReceiver(const ZeromqReceiver&) = delete;
    ZeromqReceiver& operator=(const ZeromqReceiver&) = delete;
    ~ZeromqReceiver() override { zmq_msg_close(&message_); }

    std::span<const std::byte> receive() override {
        if (zmq_msg_recv(&message_, socket_.get(), 0) < 0) {
            if (zmq_errno() == EAGAIN || zmq_errno() == EINTR) return {};
            check(-1, "zmq_msg_recv");
        }
        return {static_cast<const std::byte*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
    }
    void release() override {}  // the next zmq_msg_recv frees it

private:
    Socket socket_;
    zmq_msg_t message_{};
};

}  // namespace

ZeromqLanes::ZeromqLanes(Transport transport) : transport_{transport} {}

ZeromqLanes::~ZeromqLanes() {
    if (zeromq_ != nullptr) zmq_ctx_term(zeromq_);
}

void* ZeromqLanes::zeromq() {
    if (zeromq_ == nullptr) zeromq_ = zmq_ctx_new();
    if (zeromq_ == nullptr) throw std::runtime_error{"zmq_ctx_new failed"};
    return zeromq_;
}

std::unique_ptr<Sender> ZeromqLanes::make_sender(const Context& context, Lane lane, std::size_t message_bytes) {
    const std::string address = transport_ == Transport::tcp
                                    ? "tcp://127.0.0.1:*"
                                    : "ipc://" + context.directory + "/lane" + std::to_string(index(lane));
    std::shared_ptr<Pool> pool;
    if (message_bytes >= pooled_from_bytes) {
        pool = std::make_shared<Pool>(slots(context.options), message_bytes);
        pools_.push_back(pool);
    }
    auto sender = std::make_unique<ZeromqSender>(context, zeromq(), address, message_bytes, std::move(pool));
    context.publish_endpoint(lane, sender->address());
    return sender;
}

std::unique_ptr<Receiver> ZeromqLanes::make_receiver(const Context& context, Lane lane) {
    return std::make_unique<ZeromqReceiver>(context, zeromq(), context.endpoint(lane));
}

}  // namespace penstock::bench
