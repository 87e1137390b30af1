"""Instances bound to processors, run by local processes."""

import os
import unittest

from penstock_runs import RunTestCase, line_of, stage

CPUS = sorted(os.sched_getaffinity(0))
PAIR = line_of(stage("producer", "records", total_batches=5), stage("consumer", "csv_sink"))


def cpus_in(text):
    numbers = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        numbers |= set(range(int(first), int(last or first) + 1))
    return numbers


class Binding(RunTestCase):
    def peers(self, folder):
        stages = folder.json("peers/producer.0.json")["all_stages"]
        return [peer for peers in stages.values() for peer in peers]

    @unittest.skipIf(len(CPUS) < 2, "there is one processor only")
    def test_gives_every_instance_cores_of_its_own(self):
        folder = self.run_to_end(PAIR, "--bind", "core")

        first, second = (cpus_in(peer["cpus"]) for peer in self.peers(folder))
        self.assertTrue(first and second)
        self.assertFalse(first & second)
        self.assertLessEqual(first | second, set(CPUS))
        said = " ".join(folder.messages("producer.0"))
        self.assertIn("bound to CPU ", said)

    def test_is_refused_where_there_are_too_few_cores(self):
        run = self.start(line_of(stage("producer", "records", total_batches=5),
                                 {**stage("consumer", "csv_sink"), "threads": len(CPUS) + 1}), "--bind", "core")

        self.assert_code(run, 2)
        self.assertIn("take --bind numa or none", run.err)
        self.assert_nothing_left(run)

    def test_gives_the_cores_of_a_numa_node_to_several(self):
        folder = self.run_to_end(PAIR, "--bind", "numa", "--set", "consumer.instances=3")

        for peer in self.peers(folder):
            self.assertLessEqual(cpus_in(peer["cpus"]), set(CPUS))
            self.assertRegex(peer["numa"], r"^\d+$")

    def test_leaves_instances_where_they_are_if_asked_to(self):
        for peer in self.peers(self.run_to_end(PAIR, "--bind", "none")):
            self.assertNotIn("cpus", peer)


if __name__ == "__main__":
    unittest.main()
