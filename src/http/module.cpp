#include "http/module.hpp"

#include <utility>

#include <penstock/version.hpp>

using namespace penstock;

extern "C" {

extern const char* const penstock_module_version;
const char* const penstock_module_version = version.data();

extern const HttpModule penstock_http_module;
const HttpModule penstock_http_module{
    .start = [](HttpServerOptions options) { return new HttpServer{std::move(options)}; },
    .port = [](const HttpServer& server) { return server.port(); },
    .stop = [](HttpServer& server) { server.stop(); },
    .end = [](HttpServer* server) { delete server; },
};

}  // extern "C"
