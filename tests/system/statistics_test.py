"""What a run tells about itself: counts, times and latencies."""

import os
import unittest

from penstock_runs import RunTestCase, line_of, mpiexec, stage, wait_until

CAUSES = ("no_data", "no_credit", "fabric")
TIMES = {"operator", "paced", *CAUSES, "no_memory", "settlement"}


def of_stage(stats, name):
    return next(each for each in stats["stages"] if each["name"] == name)


class Statistics(RunTestCase):
    def stalls(self, pipeline, *options, **more):
        return self.run_to_end(pipeline, *options, faults=True, **more).channel("source-sink")["stalled_s"]

    def test_of_a_finished_run_add_up(self):
        spec = line_of(stage("source", "pattern", instances=2, size_bytes="1KiB", count=500),
                       stage("middle", "pass", instances=2), stage("sink", "null", instances=2))
        stats = self.run_to_end(spec).stats

        for channel in stats["channels"]:
            self.assertEqual([channel[key] for key in ("published", "delivered", "settled", "dropped")],
                             [1000, 1000, 1000, 0])
            self.assertEqual((channel["bytes"], channel["queued"], channel["in_flight"]), (1000 * 1024, 0, 0))
            self.assertEqual(set(channel["stalled_s"]), set(CAUSES))
        sinks = of_stage(stats, "sink")
        counts = [each["latency_us"]["count"] for each in sinks["instances"]]
        self.assertEqual((sum(counts), sinks["latency_us"]["count"], stats["latency_us"]["count"]), (1000,) * 3)
        self.assertEqual(max(each["latency_us"]["max"] for each in sinks["instances"]), stats["latency_us"]["max"])
        self.assertEqual((stats["latency_us"]["negative"], stats["latency_us"]["several_clocks"]), (0, False))

    def test_tell_where_the_time_of_each_instance_went(self):
        spec = line_of(stage("source", "pattern", size_bytes="1KiB", count=500), stage("sink", "null"))
        stats = self.run_to_end(spec).stats

        for each in stats["stages"]:
            for instance in each["instances"]:
                self.assertEqual(set(instance["time_s"]), TIMES)
                self.assertTrue(0 < instance["utilization"] <= 1, instance)
                self.assertLess(sum(instance["time_s"].values()), stats["elapsed_s"] + 1)

    def test_order_the_quantiles(self):
        spec = line_of(stage("source", "pattern", size_bytes="1KiB", count=500), stage("sink", "slow_sink", delay=0.1))
        latency = self.run_to_end(spec, faults=True).stats["latency_us"]

        ordered = [latency[key] for key in ("p50", "p90", "p99", "p999", "max")]
        self.assertEqual(ordered, sorted(ordered))
        self.assertGreaterEqual(latency["p50"], 100, "a payload is not done before its sink is")
        at_most = list(of_stage(self.only_folder().stats, "sink")["latency_us"]["at_most"].values())
        self.assertEqual(at_most, sorted(at_most))

    def test_tell_a_slow_consumer_by_its_credits(self):
        spec = line_of(stage("source", "tagged_source", count=200), stage("sink", "slow_sink", delay=1), capacity=4)
        stalled = self.stalls(spec)

        self.assertGreater(stalled["no_credit"], 0.15)
        self.assertGreater(stalled["no_credit"], stalled["no_data"])
        sink, = of_stage(self.only_folder().stats, "sink")["instances"]
        self.assertGreaterEqual(sink["time_s"]["operator"], 0.2)

    def test_tell_a_slow_producer_by_the_lack_of_data(self):
        spec = {"stages": [stage("source", "records", batch_size=1, total_batches=100, interval="2ms"),
                           stage("sink", "null")],
                "channels": [{"from": "source", "to": "sink"}]}
        stalled = self.stalls(spec)

        self.assertGreater(stalled["no_data"], 0.15)
        self.assertEqual(stalled["no_credit"], 0)
        source, = of_stage(self.only_folder().stats, "source")["instances"]
        self.assertGreater(source["time_s"]["paced"], 0.15)

    def test_charge_a_wait_to_the_input_that_is_open(self):
        spec = {"stages": [stage("short", "tagged_source", count=1),
                           stage("long", "records", batch_size=1, total_batches=200, interval="2ms"),
                           stage("both", "merge"), stage("sink", "null")],
                "channels": [{"from": "short", "to": "both"}, {"from": "long", "to": "both"},
                             {"from": "both", "to": "sink"}]}
        folder = self.run_to_end(spec, faults=True)

        short, long = (folder.channel(f"{name}-both")["stalled_s"]["no_data"] for name in ("short", "long"))
        self.assertGreater(long, 0.2)
        self.assertLess(short, long)

    def test_are_live_while_an_operator_is_busy(self):
        spec = line_of(stage("source", "tagged_source", count=1), stage("sink", "slow_sink", delay=2500))
        run = self.start(spec, faults=True)

        def busy():
            if not list(self.runs_dir.glob("*/status.json")):
                return False
            sink, = of_stage(self.only_folder().status, "sink")["instances"]
            return sink["state"] == "inside its operator" and sink["time_s"]["operator"] > 0.2
        wait_until(busy, "the status counts what the operator is at")
        self.assert_code(run, 0)

    def test_count_the_morsels_of_threads_and_results_stay_the_same(self):
        def values(threads):
            middle = {**stage("middle", "statistics", emit="csv"), "threads": threads, "morsel_kib": 16,
                      "target_utilization": 0}
            spec = line_of(stage("source", "vector", elements=100_000, count=20), middle,
                           stage("sink", "file_sink", output="statistics.csv"))
            folder = self.run_to_end(spec)
            instance, = of_stage(folder.stats, "middle")["instances"]
            return folder.result("statistics.csv").read_text(), instance.get("threads")
        expected, none = values(1)
        self.assertIsNone(none)
        for threads in (2, 3):
            with self.subTest(threads):
                found, counted = values(threads)

                self.assertEqual(found, expected)
                self.assertEqual((counted["limit"], counted["active"]), (threads, threads))
                self.assertGreaterEqual(counted["morsels"], 20 * 100_000 * 8 // (32 << 10))

    def test_are_told_as_a_table(self):
        run = self.start(line_of(stage("source", "pattern", size_bytes="1KiB", count=10), stage("sink", "null")))
        self.assert_code(run, 0)

        self.assertRegex(run.out, r"stage +instances +busy +latency p50 +p99 +max +counters")
        self.assertRegex(run.out, r"sink +1 +\d+ % +[\d.]+ \w+ +[\d.]+ \w+ +[\d.]+ \w+")
        self.assertRegex(run.out, r"source-sink +10 +10 +10 +0 +10 KiB")


@unittest.skipUnless("PENSTOCK_MPIEXEC" in os.environ, "the program is built without MPI")
class OverMpi(RunTestCase):
    def test_are_the_same_over_every_transport(self):
        spec = line_of(stage("source", "pattern", instances=2, size_bytes="64KiB", count=300),
                       stage("middle", "pass"), stage("sink", "null", instances=2))

        def counts(stats):
            return ([{key: value for key, value in channel.items() if key != "stalled_s"}
                     for channel in stats["channels"]],
                    stats["latency_us"]["count"], of_stage(stats, "sink")["latency_us"]["count"])
        local = counts(self.run_to_end(spec).stats)
        for transport in ("shm", "mpi"):
            with self.subTest(transport):
                stats = self.run_to_end(spec, "--transport", transport, launcher=mpiexec(6)).stats

                self.assertEqual(counts(stats), local)
                self.assertGreater(stats["latency_us"]["p50"], 0)


if __name__ == "__main__":
    unittest.main()
