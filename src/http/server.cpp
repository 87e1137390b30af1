#include "http/server.hpp"

#include <atomic>
#include <cassert>
#include <chrono>
#include <exception>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <httplib.h>
#include <nlohmann/json.hpp>
#include <sys/socket.h>

#include <penstock/error.hpp>

namespace penstock {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr const char* loopback = "127.0.0.1";
constexpr const char* json_type = "application/json";
constexpr std::size_t worker_threads = 4;
constexpr std::size_t request_limit_bytes = std::size_t{64} << 10U;
constexpr auto io_timeout = std::chrono::seconds{5};

std::string error_body(std::string_view text) {
    return Json{{"error", text}}.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// A page on the web can make a browser ask for its own name at our address; then the Host header gives it away.
bool names_loopback(std::string_view host) {
    const std::string_view name = host.substr(0, host.rfind(':'));
    return host.empty() || name == loopback || name == "localhost" || name == "[::1]";
}

httplib::Server::HandlerResponse refuse_foreign_host(const httplib::Request& request, httplib::Response& response) {
    if (names_loopback(request.get_header_value("Host"))) return httplib::Server::HandlerResponse::Unhandled;
    response.status = 403;
    response.set_content(error_body("this server answers to 127.0.0.1 and localhost only"), json_type);
    return httplib::Server::HandlerResponse::Handled;
}

void explain_status(const httplib::Request& request, httplib::Response& response) {
    if (!response.body.empty()) return;
    const std::string text = response.status == 404
                                 ? fmt::format("no such page: {} {}; there are GET /health, /stats and /metrics",
                                               request.method, request.path)
                                 : fmt::format("request refused with status {}", response.status);
    response.set_content(error_body(text), json_type);
}

void explain_exception(const httplib::Request&, httplib::Response& response, std::exception_ptr exception) {
    response.status = 500;
    try {
        std::rethrow_exception(std::move(exception));
    } catch (const std::exception& error) {
        response.set_content(error_body(error.what()), json_type);
    } catch (...) {
        response.set_content(error_body("unknown exception"), json_type);
    }
}

}  // namespace

struct HttpServer::State {
    HttpServerOptions options;
    Clock::time_point start = Clock::now();
    httplib::Server server = {};
    int port = 0;
    std::atomic<bool> ended = false;
    std::thread thread = {};

    explicit State(HttpServerOptions given) : options{std::move(given)} {}

    void limit() {
        server.set_payload_max_length(request_limit_bytes);
        server.set_read_timeout(io_timeout);
        server.set_write_timeout(io_timeout);
        server.set_keep_alive_timeout(1);
        // The server takes over the pool. NOLINTNEXTLINE(cppcoreguidelines-owning-memory)
        server.new_task_queue = [] { return new httplib::ThreadPool{worker_threads}; };
        // The library's default, SO_REUSEPORT, would let two runs share one port without noticing.
        server.set_socket_options([](socket_t socket) {
            const int yes = 1;
            setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        });
    }

    void route() {
        server.set_pre_routing_handler(refuse_foreign_host);
        server.set_error_handler(httplib::Server::Handler{explain_status});
        server.set_exception_handler(explain_exception);
        server.Get("/health", [this](const httplib::Request&, httplib::Response& response) {
            const std::chrono::duration<double> uptime = Clock::now() - start;
            const Json body{{"status", "healthy"}, {"pipeline", options.pipeline}, {"uptime_s", uptime.count()}};
            response.set_content(body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", json_type);
        });
        server.Get("/stats", [this](const httplib::Request&, httplib::Response& response) {
            response.set_content(options.stats(), json_type);
        });
        server.Get("/metrics", [this](const httplib::Request&, httplib::Response& response) {
            response.set_content(prometheus_text(options.metrics()), "text/plain; version=0.0.4");
        });
    }

    void bind() {
        const int wanted = options.port;
        if (wanted < 0 || wanted > 65535) {
            throw Error{Errc::invalid_input, fmt::format("{} is no port; it must be 0 to 65535", wanted)};
        }
        if (wanted == 0) {
            port = server.bind_to_any_port(loopback);
        } else if (server.bind_to_port(loopback, wanted)) {
            port = wanted;
        }
        if (port <= 0) {
            throw Error{
                Errc::invalid_input,
                fmt::format("cannot listen on {}:{}; choose another port, or 0 for any free one", loopback, wanted)};
        }
    }

    /// Returns once the server accepts: the library ignores a stop that comes before that.
    void listen() {
        thread = std::thread{[this] {
            server.listen_after_bind();
            ended = true;
        }};
        while (!server.is_running() && !ended) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
};

HttpServer::HttpServer(HttpServerOptions options) : state_{std::make_unique<State>(std::move(options))} {
    assert(state_->options.stats && state_->options.metrics);
    state_->limit();
    state_->route();
    state_->bind();
    state_->listen();
}

HttpServer::~HttpServer() {
    stop();
}

int HttpServer::port() const noexcept {
    return state_->port;
}

void HttpServer::stop() noexcept {
    if (!state_->thread.joinable()) return;
    state_->server.stop();
    state_->thread.join();
}

}  // namespace penstock
