"""Operators between real processes: the calibration of a detector, and pipelines that part and meet again."""

import csv
import json
import unittest

from penstock_runs import SOURCE, RunTestCase, channel, line_of, stage

CALIBRATION = SOURCE / "jobs" / "calibration.json"
EVENTS_OF_SEED_1 = 4036


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Calibration(RunTestCase):
    def test_finds_every_event_of_the_detector(self):
        folder = self.run_to_end(CALIBRATION)

        self.assertEqual(folder.counter("detector", "events"), EVENTS_OF_SEED_1)
        self.assertEqual(folder.counter("threshold", "hits"), EVENTS_OF_SEED_1)
        spectrum = table(folder.result("spectrum.csv"))
        self.assertEqual(sum(int(row["count"]) for row in spectrum), 500 * 128 * 128)
        self.assertEqual(sum(int(row["count"]) for row in spectrum if float(row["low"]) >= 200), EVENTS_OF_SEED_1)

    def test_leaves_frames_whose_pedestal_is_gone(self):
        folder = self.run_to_end(CALIBRATION)

        frames = table(folder.result("frames.csv"))
        self.assertEqual(len(frames) + folder.counter("threshold", "rejected"), 500)
        for row in frames:
            self.assertEqual(row["count"], str(128 * 128))
            self.assertLess(abs(float(row["mean"])), 1)
            self.assertGreater(float(row["max"]), 200)

    def test_finds_as_many_events_by_several_thresholds_and_another_seed(self):
        folder = self.run_to_end(CALIBRATION, "--set", "detector.seed=7", "--set", "threshold.instances=2")

        self.assertGreater(folder.counter("detector", "events"), 0)
        self.assertNotEqual(folder.counter("detector", "events"), EVENTS_OF_SEED_1)
        self.assertEqual(folder.counter("threshold", "hits"), folder.counter("detector", "events"))


class Flow(RunTestCase):
    def test_that_parts_by_a_comparison_meets_again_in_order(self):
        spec = {"stages": [stage("source", "detector", rows=4, columns=4, events=1, frames=300),
                           stage("split", "split", by="comparison", key="kind", value="data", channel="data",
                                 otherwise="others"),
                           stage("slow", "sleep", duration=0.1, distribution="exponential", instances=2),
                           stage("merge", "merge", order="user_id"),
                           stage("sink", "recorder")],
                "channels": [channel("source", "split"), channel("split", "slow", name="data"),
                             channel("split", "merge", name="others"), channel("slow", "merge"),
                             channel("merge", "sink")]}
        folder = self.run_to_end(spec, faults=True)

        self.assertEqual(self.user_ids(folder), list(range(332)))
        self.assertEqual([folder.counter("merge", name) for name in ("late", "missing")], [0, 0])

    def test_that_goes_two_ways_is_joined_by_the_id_it_keeps(self):
        spec = {"stages": [stage("source", "vector", elements=10, count=200), stage("square", "square", instances=2),
                           stage("affine", "affine", a=2), stage("join", "join", emit="stack"),
                           stage("window", "window", size=50), stage("sink", "null")],
                "channels": [channel("source", "square"), channel("source", "affine"), channel("square", "join"),
                             channel("affine", "join"), channel("join", "window"), channel("window", "sink")]}
        folder = self.run_to_end(spec)

        self.assertEqual(folder.counter("join", "joined"), 200)
        self.assertEqual(folder.counter("join", "unmatched"), 0)
        self.assertEqual(folder.counter("window", "windows"), 4)
        self.assertEqual(folder.counter("sink", "bytes"), 200 * 2 * 10 * 8)

    def test_that_has_checksums_verifies_them_and_samples_go_aside(self):
        spec = {"stages": [stage("source", "pattern", size_bytes=5000, count=200), stage("add", "checksum"),
                           stage("tee", "tee", channel="samples", every=10), stage("verify", "checksum", mode="verify"),
                           stage("sink", "null"), stage("aside", "null")],
                "channels": [channel("source", "add"), channel("add", "tee"), channel("tee", "verify"),
                             channel("tee", "aside", name="samples"), channel("verify", "sink")]}
        folder = self.run_to_end(spec)

        self.assertEqual(folder.counter("verify", "verified"), 200)
        self.assertEqual(folder.counter("sink", "payloads"), 200)
        self.assertEqual(folder.counter("aside", "payloads"), 20)

    def test_of_payloads_of_a_wrong_type_goes_on_and_counts_them(self):
        spec = line_of(stage("source", "pattern", count=20), stage("square", "square"), stage("sink", "null"))
        folder = self.run_to_end({**spec, "stages": [spec["stages"][0], stage("pass", "pass"), *spec["stages"][1:]],
                                  "channels": [channel("source", "pass"), channel("pass", "square"),
                                               channel("square", "sink")]})

        self.assertEqual(folder.counter("square", "malformed"), 20)
        self.assertIn("Dropped 20 malformed records (first at payload 0 of rank 1)", folder.messages("square.0"))

    def test_that_names_a_channel_there_is_not_is_refused_with_those_there_are(self):
        spec = line_of(stage("source", "pattern"), stage("split", "split", key="k", otherwise="split-snik"),
                       stage("sink", "null"))
        _, said = self.run_to_end(spec, code=2)

        self.assertIn('no channel "split-snik" leads out of stage "split"; did you mean "split-sink"?', said)

    def user_ids(self, folder):
        return [json.loads(text)["user_id"] for text in folder.result("payloads.jsonl").read_text().splitlines()]


if __name__ == "__main__":
    unittest.main()
