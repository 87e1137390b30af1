#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <penstock/error.hpp>

#include "http/metrics.hpp"
#include "http/run_view.hpp"
#include "http/server.hpp"

namespace penstock {
namespace {

using testing::HasSubstr;
using testing::Not;

HttpServerOptions some_options() {
    return {.port = 0,
            .pipeline = "demo \"1\"",
            .stats = [] { return std::string{R"({"records":7})"}; },
            .metrics =
                [] {
                    return Metrics{{{"worker.0", 2.5, 3, 50}}, {{"a-b", 10, 640, 9, 1}}};
                }};
}

httplib::Client client_of(const HttpServer& server) {
    httplib::Client client{"127.0.0.1", server.port()};
    client.set_connection_timeout(10);
    client.set_read_timeout(10);
    return client;
}

TEST(HttpServer, AnswersHealthWithThePipelineAndItsUptime) {
    const HttpServer server{some_options()};

    const auto answer = client_of(server).Get("/health");

    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->get_header_value("Content-Type"), "application/json");
    EXPECT_THAT(answer->body, HasSubstr(R"("status":"healthy")"));
    EXPECT_THAT(answer->body, HasSubstr(R"("pipeline":"demo \"1\"")"));
    EXPECT_THAT(answer->body, HasSubstr(R"("uptime_s":)"));
}

TEST(HttpServer, PassesTheStatisticsOnAsTheyAre) {
    const HttpServer server{some_options()};

    const auto answer = client_of(server).Get("/stats");

    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->body, R"({"records":7})");
}

TEST(HttpServer, AnswersMetricsAsPrometheusText) {
    const HttpServer server{some_options()};

    const auto answer = client_of(server).Get("/metrics");

    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200);
    EXPECT_EQ(answer->get_header_value("Content-Type"), "text/plain; version=0.0.4");
    EXPECT_THAT(answer->body, HasSubstr("sabot_queue_depth{node=\"worker.0\"} 3\n"));
}

TEST(HttpServer, AnswersAnythingElseWithNotFoundInJson) {
    const HttpServer server{some_options()};
    auto client = client_of(server);

    const auto page = client.Get("/nothing\"here");
    const auto method = client.Post("/stats", "{}", "application/json");

    ASSERT_TRUE(page);
    EXPECT_EQ(page->status, 404);
    EXPECT_EQ(page->get_header_value("Content-Type"), "application/json");
    EXPECT_THAT(page->body, HasSubstr(R"({"error":"no such page: GET /nothing\"here; there are)"));
    ASSERT_TRUE(method);
    EXPECT_EQ(method->status, 404);
}

TEST(HttpServer, RefusesABodyAboveItsLimit) {
    const HttpServer server{some_options()};

    const auto answer = client_of(server).Post("/stats", std::string(100'000, 'x'), "text/plain");

    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 413);
}

TEST(HttpServer, RefusesARequestThatNamesAnotherHost) {
    const HttpServer server{some_options()};
    auto client = client_of(server);

    const auto foreign = client.Get("/stats", {{"Host", "evil.example:80"}});
    const auto local = client.Get("/stats", {{"Host", "localhost:80"}});

    ASSERT_TRUE(foreign);
    EXPECT_EQ(foreign->status, 403);
    EXPECT_THAT(foreign->body, testing::Not(HasSubstr("records")));
    ASSERT_TRUE(local);
    EXPECT_EQ(local->status, 200);
}

TEST(HttpServer, TurnsAFailedSnapshotIntoAnAnswer) {
    HttpServerOptions options = some_options();
    options.stats = []() -> std::string { throw std::runtime_error{"no snapshot yet"}; };
    const HttpServer server{std::move(options)};

    const auto answer = client_of(server).Get("/stats");

    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 500);
    EXPECT_THAT(answer->body, HasSubstr(R"({"error":"no snapshot yet"})"));
}

TEST(HttpServer, RefusesAPortThatIsTaken) {
    const HttpServer server{some_options()};
    HttpServerOptions same = some_options();
    same.port = server.port();

    try {
        const HttpServer second{std::move(same)};
        FAIL() << "two servers share port " << second.port();
    } catch (const Error& error) {
        EXPECT_EQ(error.code(), Errc::invalid_input);
        EXPECT_THAT(error.what(), HasSubstr("choose another port"));
    }
}

TEST(HttpServer, RefusesANumberThatIsNoPort) {
    for (const int port : {-1, 65536}) {
        HttpServerOptions options = some_options();
        options.port = port;
        EXPECT_THROW(HttpServer{std::move(options)}, Error) << port;
    }
}

TEST(HttpServer, GivesItsPortBackWhenStopped) {
    HttpServer server{some_options()};
    HttpServerOptions same = some_options();
    same.port = server.port();

    server.stop();
    server.stop();

    EXPECT_FALSE(client_of(server).Get("/health"));
    const HttpServer second{std::move(same)};
    EXPECT_TRUE(client_of(second).Get("/health"));
}

TEST(PrometheusText, WritesEachFamilyWithItsTypeAndOneLineARow) {
    const Metrics metrics{{{"w.0", 1.5, 2, 25, 3}, {.node = "w.1", .parked = 1}}, {{"a-b", 10, 640, 9, 1}}};

    const std::string text = prometheus_text(metrics);

    EXPECT_THAT(text, HasSubstr("# TYPE sabot_processing_throughput_items_per_second gauge\n"
                                "sabot_processing_throughput_items_per_second{node=\"w.0\"} 1.5\n"
                                "sabot_processing_throughput_items_per_second{node=\"w.1\"} 0\n"));
    EXPECT_THAT(text, HasSubstr("sabot_queue_depth{node=\"w.0\"} 2\n"));
    EXPECT_THAT(text, HasSubstr("sabot_worker_utilization_percent{node=\"w.0\"} 25\n"));
    EXPECT_THAT(text, HasSubstr("penstock_active_threads{node=\"w.0\"} 3\npenstock_active_threads{node=\"w.1\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("penstock_parked{node=\"w.0\"} 0\npenstock_parked{node=\"w.1\"} 1\n"));
    EXPECT_THAT(text, HasSubstr("# TYPE penstock_sent_payloads_total counter\n"
                                "penstock_sent_payloads_total{channel=\"a-b\"} 10\n"));
    EXPECT_THAT(text, HasSubstr("penstock_sent_bytes_total{channel=\"a-b\"} 640\n"));
    EXPECT_THAT(text, HasSubstr("penstock_settled_payloads_total{channel=\"a-b\"} 9\n"));
    EXPECT_THAT(text, HasSubstr("penstock_dropped_payloads_total{channel=\"a-b\"} 1\n"));
}

TEST(PrometheusText, WritesWhatCompressionCameToWhereThereIsSome) {
    const ChannelMetrics channel{.channel = "a-b",
                                 .compresses = true,
                                 .compressed_from_bytes = 1000,
                                 .compressed_to_bytes = 400,
                                 .raw_payloads = 3};

    const std::string text = prometheus_text({{}, {channel, {.channel = "b-c"}}});

    EXPECT_THAT(text, HasSubstr("penstock_compressed_from_bytes_total{channel=\"a-b\"} 1000\n# HELP"));
    EXPECT_THAT(text, HasSubstr("penstock_compressed_to_bytes_total{channel=\"a-b\"} 400\n# HELP"));
    EXPECT_THAT(text, HasSubstr("penstock_uncompressed_payloads_total{channel=\"a-b\"} 3\n"));
    EXPECT_THAT(prometheus_text({{}, {{.channel = "b-c"}}}), Not(HasSubstr("compressed")));
}

TEST(PrometheusText, WritesQueuesAndStallsOfAChannel) {
    ChannelMetrics channel{.channel = "a-b", .queued_payloads = 3, .in_flight_payloads = 7};
    channel.stalled_s = {{"no_credit", 1.5}, {"no_data", 0}};

    const std::string text = prometheus_text({{}, {channel}});

    EXPECT_THAT(text,
                HasSubstr("# TYPE penstock_queued_payloads gauge\npenstock_queued_payloads{channel=\"a-b\"} 3\n"));
    EXPECT_THAT(text, HasSubstr("penstock_in_flight_payloads{channel=\"a-b\"} 7\n"));
    EXPECT_THAT(text, HasSubstr("# TYPE penstock_stalled_seconds_total counter\n"
                                "penstock_stalled_seconds_total{channel=\"a-b\",cause=\"no_credit\"} 1.5\n"
                                "penstock_stalled_seconds_total{channel=\"a-b\",cause=\"no_data\"} 0\n"));
}

TEST(PrometheusText, WritesLatenciesAsAHistogram) {
    LatencyMetrics latency{.stage = "sink", .at_most = {{1.024e-06, 2}, {2.048e-06, 5}}, .count = 6, .sum_s = 0.25};

    const std::string text = prometheus_text({{}, {}, {latency}});

    EXPECT_THAT(text, HasSubstr("# TYPE penstock_latency_seconds histogram\n"
                                "penstock_latency_seconds_bucket{stage=\"sink\",le=\"1.024e-06\"} 2\n"
                                "penstock_latency_seconds_bucket{stage=\"sink\",le=\"2.048e-06\"} 5\n"
                                "penstock_latency_seconds_bucket{stage=\"sink\",le=\"+Inf\"} 6\n"
                                "penstock_latency_seconds_sum{stage=\"sink\"} 0.25\n"
                                "penstock_latency_seconds_count{stage=\"sink\"} 6\n"));
}

TEST(PrometheusText, EscapesLabels) {
    const std::string text = prometheus_text({{{"a\"b\\c\nd", 0, 0, 0}}, {}});

    EXPECT_THAT(text, HasSubstr(R"({node="a\"b\\c\nd"})"));
}

/// As status.json has it: one worker that has taken `delivered` payloads and was `busy_s` in its operator.
std::string status_text(double elapsed_s, int delivered, double busy_s) {
    return R"({"elapsed_s": )" + std::to_string(elapsed_s) + R"(, "stages": [{"name": "w", "instances": [{
        "instance": 0, "rank": 1, "parked": true, "threads": {"limit": 4, "active": 2}, "time_s": {"operator": )" +
           std::to_string(busy_s) + R"(, "paced": 0.5}, "inputs": [{"delivered": )" + std::to_string(delivered) +
           R"(, "queued": 3}]}], "latency_us": {"count": 4, "mean": 500.0, "at_most": {"1.024": 1, "2.048": 3}}}],
        "channels": [{"name": "a-b", "delivered": 10, "bytes": 640, "settled": 9, "dropped": 1, "queued": 3,
        "in_flight": 5, "stalled_s": {"no_data": 0.25}}]})";
}

TEST(RunMetrics, ComeFromTheDifferenceOfTwoStatuses) {
    const Metrics metrics = metrics_between(status_text(10, 100, 1), status_text(12, 300, 2));

    ASSERT_EQ(metrics.nodes.size(), 1U);
    EXPECT_EQ(metrics.nodes[0].node, "w.0");
    EXPECT_DOUBLE_EQ(metrics.nodes[0].items_per_second, 100);
    EXPECT_DOUBLE_EQ(metrics.nodes[0].utilization_percent, 50);
    EXPECT_EQ(metrics.nodes[0].queue_depth, 3U);
    EXPECT_EQ(metrics.nodes[0].active_threads, 2);
    EXPECT_EQ(metrics.nodes[0].parked, 1);
}

TEST(RunMetrics, CountAPauseOfWhoHasInputsAsWork) {
    const Metrics metrics = metrics_between("", status_text(2, 100, 1));

    EXPECT_DOUBLE_EQ(metrics.nodes[0].utilization_percent, 75);
}

TEST(RunMetrics, HaveTheTotalsOfChannelsAndTheLatenciesOfSinks) {
    const Metrics metrics = metrics_between("", status_text(2, 100, 1));

    ASSERT_EQ(metrics.channels.size(), 1U);
    EXPECT_EQ(metrics.channels[0].queued_payloads, 3U);
    EXPECT_EQ(metrics.channels[0].in_flight_payloads, 5U);
    EXPECT_EQ(metrics.channels[0].stalled_s, (std::map<std::string, double>{{"no_data", 0.25}}));
    ASSERT_EQ(metrics.latencies.size(), 1U);
    EXPECT_EQ(metrics.latencies[0].stage, "w");
    EXPECT_EQ(metrics.latencies[0].count, 4U);
    EXPECT_DOUBLE_EQ(metrics.latencies[0].sum_s, 0.002);
    EXPECT_EQ(metrics.latencies[0].at_most, (std::map<double, std::uint64_t>{{1.024e-06, 1}, {2.048e-06, 3}}));
}

TEST(RunMetrics, AreNotMadeOfWhatIsNoStatus) {
    for (const char* text : {"", "[]", "{}", "not json"})
        EXPECT_THROW(static_cast<void>(metrics_between("", text)), Error) << text;
}

TEST(PrometheusText, IsEmptyWithoutRows) {
    EXPECT_EQ(prometheus_text({}), "");
}

}  // namespace
}  // namespace penstock
