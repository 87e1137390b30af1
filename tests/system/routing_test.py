"""Routes and overflow policies between real processes, by exact counts."""

import json
import unittest

from penstock_runs import RunTestCase, channel, line_of, rows_of, stage


def records(folder, labels):
    """The lines that each instance of a recorder wrote, by instance."""
    return [[json.loads(text) for text in folder.result(f"payloads.{label}.jsonl").read_text().splitlines()]
            for label in labels]


class Routes(RunTestCase):
    def run_recorders(self, route, instances=3, count=300, sources=1, **keys):
        spec = line_of(stage("source", "tagged_source", instances=sources, count=count),
                       stage("sink", "recorder", instances=instances), route=route, **keys)
        folder = self.run_to_end(spec, faults=True)
        return folder, records(folder, range(instances))

    def test_by_balance_deliver_each_payload_once(self):
        folder, written = self.run_recorders("balance")

        self.assertEqual(sorted(line["sequence"] for lines in written for line in lines), list(range(300)))
        self.assertEqual(folder.channel("source-sink")["settled"], 300)

    def test_by_round_robin_deal_the_payloads_in_turn(self):
        _, written = self.run_recorders("round_robin")

        self.assertEqual([[line["sequence"] for line in lines] for lines in written],
                         [list(range(first, 300, 3)) for first in range(3)])

    def test_by_hash_send_equal_keys_to_one_instance(self):
        _, written = self.run_recorders("hash", sources=2, key="key")

        self.assertEqual(sum(map(len, written)), 600)
        homes = {}
        for lines in written:
            for line in lines:
                homes.setdefault(line["key"], set()).add(line["instance"])
        self.assertEqual({key: len(instances) for key, instances in homes.items()}, {"a": 1, "b": 1, "c": 1})

    def test_by_broadcast_deliver_all_payloads_to_all(self):
        folder, written = self.run_recorders("broadcast")

        self.assertEqual([[line["sequence"] for line in lines] for lines in written], [list(range(300))] * 3)
        self.assertEqual(folder.channel("source-sink")["published"], 900)

    def test_with_leases_deliver_what_they_do_without(self):
        for capacity in (1, 3, 64):
            with self.subTest(capacity=capacity):
                folder, written = self.run_recorders("balance", sources=4, count=200, dispatch="leased",
                                                     capacity=capacity)

                self.assertEqual(sorted((line["source_instance"], line["sequence"])
                                        for lines in written for line in lines),
                                 [(source, number) for source in range(4) for number in range(200)])
                self.assertEqual(folder.channel("source-sink")["settled"], 800)

    def test_keep_the_order_of_each_sender(self):
        _, written = self.run_recorders("balance", sources=2)

        for lines in written:
            for source in (0, 1):
                sequences = [line["sequence"] for line in lines if line["source_instance"] == source]
                self.assertEqual(sequences, sorted(sequences))

    def test_deliver_everything_to_every_downstream_stage(self):
        spec = {"stages": [stage("source", "tagged_source", count=200), stage("left", "recorder", output="left.jsonl"),
                           stage("right", "recorder", instances=2, output="right.jsonl")],
                "channels": [channel("source", "left"), channel("source", "right")]}
        folder = self.run_to_end(spec, faults=True)

        left = folder.result("left.jsonl").read_text().splitlines()
        right = [folder.result(f"right.{i}.jsonl").read_text().splitlines() for i in (0, 1)]
        self.assertEqual([json.loads(text)["user_id"] for text in left], list(range(200)))
        self.assertEqual(sorted(json.loads(text)["user_id"] for lines in right for text in lines), list(range(200)))

    def test_to_several_sinks_write_a_numbered_file_each(self):
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=50),
                       stage("consumer", "csv_sink", instances=2))
        folder = self.run_to_end(spec)

        self.assertEqual(sorted(path.name for path in folder.result().parent.iterdir()),
                         ["results.0.csv", "results.1.csv"])
        rows = rows_of(folder.result("results.0.csv")) + rows_of(folder.result("results.1.csv"))
        self.assertEqual(sorted(row[0] for row in rows), list(range(500)))

    def test_that_lack_their_key_fail_with_the_channel_and_the_key(self):
        spec = line_of(stage("source", "tagged_source", count=10), stage("sink", "recorder", instances=2),
                       route="hash", key="colour")
        _, said = self.run_to_end(spec, code=2, faults=True)

        self.assertIn("channel 'source-sink' routes by metadata key 'colour', which a payload lacks", said)


class Overflow(RunTestCase):
    """The source makes its payloads at once, the sink takes a while for each."""

    def run_slow(self, policy, **more):
        spec = line_of(stage("source", "pattern", count=500, size_bytes=256), stage("sink", "null", delay="2ms"),
                       overflow=policy, capacity=8)
        return self.run_to_end(spec, **more)

    def counts(self, folder):
        found = folder.channel("source-sink")
        self.assertEqual(found["published"], 500)
        self.assertEqual(found["delivered"], found["settled"])
        self.assertEqual(found["settled"], folder.counter("sink", "payloads"))
        return found["delivered"], found["dropped"]

    def test_that_blocks_drops_nothing(self):
        self.assertEqual(self.counts(self.run_slow("block")), (500, 0))

    def test_that_drops_counts_every_payload_as_delivered_or_dropped(self):
        for policy in ("drop_oldest", "drop_newest", "latest"):
            with self.subTest(policy):
                delivered, dropped = self.counts(self.run_slow(policy))
                self.assertEqual(delivered + dropped, 500)
                self.assertGreater(dropped, 0)
                self.assertGreater(delivered, 0)

    def test_that_keeps_the_newest_ends_with_the_last_payload(self):
        for policy in ("drop_oldest", "latest"):
            with self.subTest(policy):
                spec = line_of(stage("source", "tagged_source", count=5000), stage("middle", "pass", delay="2ms"),
                               stage("sink", "recorder"))
                spec["channels"][0].update(overflow=policy, capacity=8)
                folder = self.run_to_end(spec, faults=True)
                ids = [json.loads(text)["user_id"] for text in folder.result("payloads.jsonl").read_text().splitlines()]

                self.assertEqual(ids, sorted(ids))
                self.assertEqual(ids[-1], 4999)
                self.assertEqual(len(ids) + folder.channel("source-middle")["dropped"], 5000)

    def test_that_is_an_error_ends_the_run_with_the_channel_and_the_remedy(self):
        folder, said = self.run_slow("error", code=4)

        self.assertIn("channel 'source-sink' is full, and its overflow policy is 'error'; raise its capacity", said)
        self.assertEqual(folder.status["state"], "failed")


if __name__ == "__main__":
    unittest.main()
