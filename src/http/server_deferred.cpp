// In place of the server, in a program that loads it when it needs it.
#include <utility>

#include "base/module.hpp"
#include "http/module.hpp"

namespace penstock {
namespace {

[[nodiscard]] const HttpModule& http_module() {
    static const auto* const loaded = static_cast<const HttpModule*>(load_module("http", http_module_entry));
    return *loaded;
}

}  // namespace

struct HttpServer::State {
    explicit State(HttpServer* server) : loaded{server} {}
    ~State() { http_module().end(loaded); }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    HttpServer* const loaded;
};

HttpServer::HttpServer(HttpServerOptions options)
    : state_{std::make_unique<State>(http_module().start(std::move(options)))} {}
HttpServer::~HttpServer() = default;
int HttpServer::port() const noexcept {
    return http_module().port(*state_->loaded);
}
void HttpServer::stop() noexcept {
    http_module().stop(*state_->loaded);
}

}  // namespace penstock
