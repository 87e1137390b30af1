#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "http/metrics.hpp"
#include "http/server.hpp"

namespace penstock {

/// Shows a run over HTTP: fed with the texts of status.json, it answers from the last one.
class RunView {
public:
    /// @throws Error{invalid_input} when the port cannot be taken.
    RunView(int port, std::string pipeline);

    /// Takes the newest status; any thread.
    void update(std::string_view status);
    [[nodiscard]] int port() const noexcept { return server_.port(); }

private:
    std::mutex mutex_;
    std::string status_;
    Metrics metrics_;
    HttpServer server_;  // last: its threads use the rest
};

/// Rates are between the two texts; `before` may be empty. @throws Error{internal} if a text is no status.
[[nodiscard]] Metrics metrics_between(std::string_view before, std::string_view now);

}  // namespace penstock
