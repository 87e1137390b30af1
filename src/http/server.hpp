#pragma once

#include <functional>
#include <memory>
#include <string>

#include "http/metrics.hpp"

namespace penstock {

struct HttpServerOptions {
    int port = 0;                        ///< 0 takes any free one.
    std::string pipeline = {};           ///< Name shown by `/health`.
    std::function<std::string()> stats;  ///< JSON text for `/stats`. Called from the server's threads.
    std::function<Metrics()> metrics;    ///< For `/metrics`. Called from the server's threads.
};

/// A read-only view of one run over HTTP, on the loopback address: `/health`, `/stats` and `/metrics`.
/// Answers from threads of its own, started by the constructor. Ignores SIGPIPE for the whole process.
class HttpServer {
public:
    /// REQUIRES: both functions are set, and safe to call from any thread until `stop` returns.
    /// @throws Error{invalid_input} when the port cannot be taken, Error{unsupported} in a build without HTTP.
    explicit HttpServer(HttpServerOptions options);
    /// Stops.
    ~HttpServer();
    HttpServer(const HttpServer&) = delete;
    HttpServer& operator=(const HttpServer&) = delete;

    [[nodiscard]] int port() const noexcept;

    /// Ends the threads; waits for requests under way, at most about five seconds. A second call does nothing.
    void stop() noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace penstock
