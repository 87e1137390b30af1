"""Central channels, and channels by value, between real processes, by exact counts."""

import json
import unittest

from penstock_runs import RunTestCase, channel, line_of, stage

MODES = [{"dispatch": "central"}, {"dispatch": "central", "by": "value"}, {"by": "value"},
         {"dispatch": "leased", "by": "value"}]


def records(folder, instances):
    return [[json.loads(text) for text in folder.result(f"payloads.{i}.jsonl").read_text().splitlines()]
            for i in range(instances)]


class Modes(RunTestCase):
    def run_recorders(self, sources=2, count=200, **keys):
        spec = line_of(stage("source", "tagged_source", instances=sources, count=count),
                       stage("sink", "recorder", instances=3), **keys)
        folder = self.run_to_end(spec, faults=True)
        return folder, records(folder, 3)

    def assert_all_there(self, written, sources, count, times=1):
        self.assertEqual(sorted((line["source_instance"], line["sequence"]) for lines in written for line in lines),
                         sorted([(source, number) for source in range(sources) for number in range(count)] * times))

    def test_deliver_each_payload_once(self):
        for mode in MODES:
            for capacity in (1, 64):
                with self.subTest(capacity=capacity, **mode):
                    folder, written = self.run_recorders(capacity=capacity, **mode)

                    self.assert_all_there(written, 2, 200)
                    self.assertEqual(folder.channel("source-sink")["settled"], 400)

    def test_keep_the_meaning_of_the_routes(self):
        for by in ("reference", "value"):
            with self.subTest(by):
                folder, written = self.run_recorders(route="broadcast", dispatch="central", by=by)
                self.assert_all_there(written, 2, 200, times=3)
                counts = folder.channel("source-sink")
                self.assertEqual([counts[key] for key in ("published", "delivered", "settled", "dropped")],
                                 [1200, 1200, 1200, 0])

                _, written = self.run_recorders(route="hash", key="key", dispatch="central", by=by)
                self.assert_all_there(written, 2, 200)
                self.assertEqual([len({line["instance"] for lines in written for line in lines if line["key"] == key})
                                  for key in "abc"], [1, 1, 1])

                _, written = self.run_recorders(sources=1, route="round_robin", dispatch="central", by=by)
                self.assertEqual([[line["sequence"] for line in lines] for lines in written],
                                 [list(range(first, 200, 3)) for first in range(3)])

    def test_drop_by_the_policy_and_count_it(self):
        for policy in ("drop_oldest", "drop_newest", "latest"):
            with self.subTest(policy):
                spec = line_of(stage("source", "pattern", count=500, size_bytes=1024),
                               stage("sink", "null", delay="2ms"), overflow=policy, capacity=8, dispatch="central")
                folder = self.run_to_end(spec)

                counts = folder.channel("source-sink")
                self.assertEqual(counts["published"], 500)
                self.assertEqual(counts["delivered"], counts["settled"])
                self.assertEqual(counts["delivered"], folder.counter("sink", "payloads"))
                self.assertEqual(counts["delivered"] + counts["dropped"], 500)
                self.assertGreater(counts["dropped"], 0)

    def test_end_the_run_when_a_full_queue_is_an_error(self):
        spec = line_of(stage("source", "pattern", count=500), stage("sink", "null", delay="2ms"),
                       overflow="error", capacity=8, dispatch="central")
        _, said = self.run_to_end(spec, code=4)

        self.assertIn("channel 'source-sink' is full, and its overflow policy is 'error'", said)

    def test_leave_a_missing_key_to_the_producer(self):
        spec = line_of(stage("source", "tagged_source", count=10), stage("sink", "recorder", instances=2),
                       route="hash", key="colour", dispatch="central")
        _, said = self.run_to_end(spec, code=2, faults=True)

        self.assertIn("routes by metadata key 'colour', which a payload lacks", said)
        self.assertIn("tagged_source", said)

    def test_say_how_many_bytes_went_through_rank_0(self):
        for by, through in (("reference", 0), ("value", 50 << 16)):
            with self.subTest(by):
                spec = line_of(stage("source", "pattern", count=50, size_bytes="64KiB"),
                               stage("sink", "null"), dispatch="central", by=by)
                folder = self.run_to_end(spec)

                counts = folder.channel("source-sink")
                self.assertEqual((counts["bytes"], counts["rank0_bytes"]), (50 << 16, through))
                self.assertEqual(folder.channel("source-sink", "status.json")["rank0_bytes"], through)

    def test_pass_more_than_rank_0_has_memory_for(self):
        spec = line_of(stage("source", "pattern", count=100, size_bytes="1MiB"),
                       stage("middle", "pass", instances=2), stage("sink", "null", delay="1ms"),
                       dispatch="central", by="value")
        folder = self.run_to_end(spec, "--arena-mib", "8")

        self.assertEqual(folder.counter("sink", "payloads"), 100)
        self.assertEqual([folder.channel(name)["settled"] for name in ("source-middle", "middle-sink")], [100, 100])

    def test_mix_in_one_graph(self):
        spec = {"stages": [stage("source", "pattern", count=300, size_bytes=5000),
                           stage("left", "pass", instances=2), stage("right", "pass"),
                           stage("sink", "null", instances=2)],
                "channels": [channel("source", "left", dispatch="central"), channel("source", "right", by="value"),
                             channel("left", "sink", dispatch="central", by="value", capacity=2),
                             channel("right", "sink", dispatch="central", route="broadcast")]}
        folder = self.run_to_end(spec)

        self.assertEqual(folder.counter("sink", "payloads"), 300 + 600)

    def test_give_work_to_every_instance_when_it_takes_long(self):
        spec = line_of(stage("source", "pattern", count=40), stage("sink", "null", instances=4, delay="10ms"),
                       dispatch="central")
        folder = self.run_to_end(spec)

        counts = folder.instance_counters("sink", "payloads")
        self.assertEqual(sum(counts), 40)
        self.assertGreater(min(counts), 0, counts)

    def test_drain_when_a_signal_stops_the_run(self):
        for mode in MODES[:2]:
            with self.subTest(**mode):
                self.runs_dir = self.folder / f"runs-{len(self.started)}"
                run = self.start(line_of(stage("source", "pattern", count=0, size_bytes=2000, interval="1ms"),
                                         stage("sink", "null", instances=2), **mode))
                self.wait_for_state("running")
                run.popen.terminate()

                self.assert_code(run, 143)
                counts = self.only_folder().channel("source-sink")
                self.assertEqual(counts["settled"], counts["published"])

    def test_report_a_stall_with_what_waits_at_the_coordinator(self):
        spec = line_of(stage("source", "pattern", count=1000, size_bytes=1000),
                       stage("middle", "stuck_processor", after=5), stage("sink", "null"), dispatch="central",
                       capacity=4)
        _, said = self.run_to_end(spec, "--stall-timeout", "1s", code=5, faults=True)

        self.assertRegex(said, r"coordinator \(rank 0\): [1-9]\d* payloads of channel 'source-middle' wait")
        self.assertRegex(said, r"middle\.0 \(rank 2\): inside its operator 'stuck_processor'")


class Filters(RunTestCase):
    def test_and_samples_count_what_they_keep_out(self):
        spec = line_of(stage("source", "tagged_source", instances=2, count=300), stage("sink", "recorder"))
        for dispatch in ("direct", "leased", "central"):
            with self.subTest(dispatch):
                spec["channels"][0].update(dispatch=dispatch, filter="key != b", sample=9)
                folder = self.run_to_end(spec, faults=True)
                lines = [json.loads(text) for text in folder.result("payloads.jsonl").read_text().splitlines()]

                self.assertEqual(sorted({line["key"] for line in lines}), ["a", "c"])
                counts = folder.channel("source-sink")
                self.assertEqual([counts[key] for key in ("filtered", "skipped", "published", "delivered", "dropped")],
                                 [200, 354, 46, 46, 0])

    def test_that_let_nothing_through_end_in_order(self):
        spec = line_of(stage("source", "pattern", count=1000), stage("sink", "null"), filter="no_such_key exists")
        counts = self.run_to_end(spec).channel("source-sink")

        self.assertEqual((counts["filtered"], counts["published"]), (1000, 0))

    def test_that_are_none_are_refused_with_their_place(self):
        path = self.write(line_of(stage("source", "pattern"), stage("sink", "null"), filter="size = 5"))
        run = self.command("validate", path)

        self.assert_code(run, 2)
        self.assertIn('pipeline.json:1: /channels/0/filter: has "= 5" after the key', run.err)


class ByValue(RunTestCase):
    def test_is_copied_before_it_is_handed_on(self):
        """The owner uses its memory again as soon as it is told of the copy; the sink verifies what it gets."""
        spec = {"stages": [stage("source", "pattern", size_bytes=1_000_000, count=300),
                           stage("middle", "pass"), stage("sink", "null")],
                "channels": [channel("source", "middle", by="value"), channel("middle", "sink")]}
        for dispatch in ("direct", "leased"):
            spec["channels"][0]["dispatch"] = dispatch
            folder = self.run_to_end(spec, "--arena-mib", "8")
            self.assertEqual(folder.channel("middle-sink")["delivered"], 300)


if __name__ == "__main__":
    unittest.main()
