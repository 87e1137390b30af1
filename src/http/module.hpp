#pragma once

#include "http/server.hpp"

namespace penstock {

/// What the program needs of the file that uses HTTP, which is a module of it.
struct HttpModule {
    HttpServer* (*start)(HttpServerOptions);
    int (*port)(const HttpServer&);
    void (*stop)(HttpServer&);
    void (*end)(HttpServer*);
};

constexpr const char* http_module_entry = "penstock_http_module";

}  // namespace penstock
