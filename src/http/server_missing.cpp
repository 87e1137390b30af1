#include <penstock/error.hpp>

#include "http/server.hpp"

namespace penstock {

struct HttpServer::State {};

HttpServer::HttpServer(HttpServerOptions) {
    throw Error{Errc::unsupported, "this build has no HTTP; install libcpp-httplib-dev and configure again"};
}
HttpServer::~HttpServer() = default;
int HttpServer::port() const noexcept {
    return 0;
}
void HttpServer::stop() noexcept {}

}  // namespace penstock
