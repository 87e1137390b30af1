"""Operators and processes that stop moving, and consumers that hardly move."""

import re
import signal
import unittest

from penstock_runs import RunTestCase, line_of, rows_of, stage, wait_until

MIB = 1 << 20


class Stuck(RunTestCase):
    def assert_stalled(self, folder, said, *lines):
        self.assertIn("timed out: nothing moved for 2", said)
        for line in lines:
            self.assertRegex(said, re.compile(line, re.MULTILINE))
        self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("failed", 5))

    def test_operator_ends_the_run_with_who_waits_for_whom(self):
        spec = line_of(stage("source", "tagged_source", count=100_000), stage("middle", "stuck_processor", after=5),
                       stage("sink", "null"), capacity=16)
        folder, said = self.run_to_end(spec, "--stall-timeout", "2s", code=5, faults=True)

        self.assert_stalled(
            folder, said,
            r"^  source\.0 \(rank 1\): waiting for credit on channel 'source-middle' to stage 'middle'; "
            r"'source-middle': holds 0 credits, \d+ unsettled$",
            r"^  middle\.0 \(rank 2\): inside its operator 'stuck_processor' with payload 5; "
            r".*'source-middle': \d+ queued$",
            r"^  sink\.0 \(rank 3\): waiting for input on channel 'middle-sink' from stage 'middle'; ")

    def test_process_ends_the_run_with_who_waits_for_whom(self):
        spec = line_of(stage("producer", "records", batch_size=100, total_batches=0),
                       stage("consumer", "csv_sink"), capacity=16)
        run = self.start(spec, "--stall-timeout", "2s")
        process = run.process("consumer.0")
        wait_until(lambda: [path for path in self.runs_dir.glob("*/results/results.csv") if path.stat().st_size > 1000],
                   "there are results")
        process.kill(signal.SIGSTOP)

        self.assert_code(run, 5)
        folder = self.folder_of(run)
        self.assert_stalled(folder, run.err,
                            r"^  producer\.0 \(rank 1\): waiting for credit on channel 'producer-consumer'",
                            r"^  consumer\.0 \(rank 2\): ")
        settled = folder.channel("producer-consumer")["settled"]
        self.assertGreaterEqual(len(rows_of(folder.result())), 100 * settled)

    def test_source_is_no_stall_while_it_pauses_on_purpose(self):
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=2, interval="1500ms"),
                       stage("consumer", "csv_sink"))
        folder = self.run_to_end(spec, "--stall-timeout", "500ms")

        self.assertEqual(len(rows_of(folder.result())), 20)

    def test_source_that_stops_while_it_pauses_ends_the_run(self):
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=0, interval="300ms"),
                       stage("consumer", "csv_sink"))
        run = self.start(spec, "--stall-timeout", "2s")
        process = run.process("producer.0")
        wait_until(lambda: [path for path in self.runs_dir.glob("*/results/results.csv") if path.stat().st_size > 100],
                   "there are results")
        process.kill(signal.SIGSTOP)

        self.assert_code(run, 5)
        self.assert_stalled(self.folder_of(run), run.err, r"^  producer\.0 \(rank 1\): ")

    def test_operator_behind_a_source_that_pauses_and_drops_ends_the_run(self):
        spec = line_of(stage("source", "pattern", count=0, interval="5ms"),
                       stage("middle", "stuck_processor", after=5), overflow="drop_newest", capacity=2)
        spec["stages"].append(stage("sink", "null"))
        spec["channels"].append({"from": "middle", "to": "sink"})
        folder, said = self.run_to_end(spec, "--stall-timeout", "2s", code=5, faults=True)

        self.assert_stalled(folder, said, r"^  middle\.0 \(rank 2\): inside its operator 'stuck_processor'")


class TimedOut(RunTestCase):
    def spec(self, **timeouts):
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=0, interval="5ms"),
                       stage("processor", "scale_records", 2), stage("consumer", "csv_sink"))
        for each in spec["stages"]:
            if each["name"] in timeouts:
                each["timeout"] = timeouts[each["name"]]
        return spec

    def test_stage_ends_the_run_and_is_named(self):
        folder, said = self.run_to_end(self.spec(processor="1200ms", consumer="1h"), code=5)

        self.assertIn("timed out: stage 'processor' has not ended within its timeout of 1.2 s, 2 of 2 instances go on", said)
        self.assertRegex(said, r"(?m)^  processor\.1 \(rank 3\): ")
        self.assertIn('raise "timeout" of the stage if it may take longer', said)
        self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("failed", 5))

    def test_stage_that_comes_first_is_the_one_that_is_named(self):
        _, said = self.run_to_end(self.spec(producer="2s", processor="100ms", consumer="1s"), code=5)

        self.assertIn("timed out: stage 'processor' has not ended within its timeout of 100 ms", said)
        self.assertNotIn("stage 'consumer' has not", said)

    def test_stage_that_has_ended_in_time_does_not_count(self):
        short = line_of(stage("producer", "records", batch_size=10, total_batches=1), stage("consumer", "null"))
        long = line_of(stage("slow", "records", batch_size=10, total_batches=3, interval="1500ms"), stage("sink", "null"))
        for each in short["stages"]:
            each["timeout"] = "2s"
        folder = self.run_to_end({key: short[key] + long[key] for key in ("stages", "channels")})
        self.assertEqual(folder.status["state"], "completed")


class Paused(RunTestCase):
    def test_coordinator_stops_the_stream_when_the_leases_run_out_and_says_so(self):
        spec = line_of(stage("source", "pattern", instances=2, count=1500, interval="4ms"), stage("sink", "null"),
                       dispatch="leased")
        run = self.start(spec)
        self.wait_for_state("running")
        folder = self.only_folder()
        wait_until(lambda: folder.channel("source-sink", "status.json")["settled"] > 50, "payloads move")
        run.send(signal.SIGSTOP)
        wait_until(lambda: any("has not answered" in text for text in folder.messages("source.0")),
                   "the source says that the coordinator is silent")
        run.send(signal.SIGCONT)

        self.assert_code(run, 0)
        self.assertEqual(folder.channel("source-sink")["settled"], 3000)


class SlowConsumer(RunTestCase):
    def test_bounds_memory_and_loses_nothing(self):
        """The source could make its payloads a thousand times as fast as they are taken."""
        count = 1000
        spec = line_of(stage("source", "pattern", size_bytes="64KiB", count=count), stage("sink", "null", delay="2ms"))
        run = self.start(spec, "--arena-mib", "16")
        self.assert_code(run, 0)
        folder = self.folder_of(run)

        self.assertEqual(folder.counter("sink", "payloads"), count)
        found = folder.channel("source-sink")
        self.assertEqual([found["settled"], found["dropped"]], [count, 0])
        self.assertLess(run.most_resident_bytes(), (16 + 32) * MIB)


if __name__ == "__main__":
    unittest.main()
