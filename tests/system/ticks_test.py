"""Operators that are called although no payload comes."""

import json
import unittest

from penstock_runs import RunTestCase, line_of, stage

# It has time for hundreds of ticks between its two payloads.
PAUSING = stage("source", "records", batch_size=1, total_batches=2, interval="2s")


class Ticks(RunTestCase):
    def recorded(self, folder):
        return [json.loads(text) for text in folder.result("payloads.jsonl").read_text().splitlines()]

    def test_come_while_no_payload_does_and_never_early(self):
        for idle in ("adaptive", "block"):
            folder = self.run_to_end(line_of(PAUSING, stage("middle", "ticking_processor", every="10ms", most=60),
                                             stage("sink", "recorder")), "--idle", idle, faults=True)

            self.assertEqual([line["user_id"] for line in self.recorded(folder)], list(range(1, 61)))
            self.assertEqual([line["rank"] for line in self.recorded(folder)], [2] * 60)
            self.assertEqual((folder.counter("middle", "ticks"), folder.counter("middle", "early")), (60, 0))

    def test_come_while_payloads_never_end(self):
        spec = line_of(stage("source", "pattern", size_bytes=8, count=3_000_000),
                       stage("sink", "ticking_sink", every="1ms"))
        folder = self.run_to_end(spec, faults=True)

        self.assertGreater(folder.counter("sink", "ticks"), 0)
        self.assertEqual(folder.counter("sink", "early"), 0)

    def test_do_not_hide_that_nothing_moves(self):
        spec = line_of(stage("source", "tagged_source", count=100), stage("middle", "stuck_processor"),
                       stage("sink", "throwing_sink", where="finish"))
        _, said = self.run_to_end(spec, "--stall-timeout", "2s", code=5, faults=True)

        self.assertIn("timed out: nothing moved for 2", said)
        self.assertIn("inside its operator 'stuck_processor'", said)

    def test_that_throw_end_the_run_with_where(self):
        for operator in ("throwing_sink", "throwing_processor"):
            stages = [PAUSING, stage("thrower", operator, where="tick")]
            if operator == "throwing_processor":
                stages.append(stage("sink", "null"))
            _, said = self.run_to_end(line_of(*stages), code=3, faults=True)

            self.assertIn("planned failure in tick", said)
            self.assertIn(f"while running tick() of operator '{operator}' of thrower.0 (rank 2)", said)

    def test_close_a_window_that_gets_no_more(self):
        spec = line_of(PAUSING, stage("window", "window", size=100, linger="100ms"), stage("sink", "recorder"))
        folder = self.run_to_end(spec, faults=True)

        self.assertEqual(len(self.recorded(folder)), 2)
        self.assertEqual((folder.counter("window", "windows"), folder.counter("window", "lingered")), (2, 1))


if __name__ == "__main__":
    unittest.main()
