"""Instances that are parked while they are not needed."""

import re
import signal
import unittest

from penstock_runs import RunTestCase, line_of, stage, wait_until


def workers(count, work, **source):
    return line_of(stage("producer", "records", batch_size=1, total_batches=0, **source),
                   {**stage("worker", "sleep", count, duration=work), "park_idle": True},
                   stage("consumer", "null"))


class Parking(RunTestCase):
    def start_and_find(self, spec):
        run = self.start(spec)
        self.wait_for_state("running")
        return run, self.only_folder()

    def parked(self, folder):
        stages = {each["name"]: each for each in folder.status["stages"]}
        return [each["parked"] for each in stages["worker"]["instances"] if "parked" in each]

    def stop(self, run):
        run.send(signal.SIGINT)
        self.assert_code(run, 130)

    def test_leaves_as_many_instances_as_are_needed(self):
        run, folder = self.start_and_find(workers(4, "1ms", interval="10ms"))
        wait_until(lambda: self.parked(folder).count(True) == 3, "three of four are parked")
        self.stop(run)

        said = [text for text in folder.messages("coordinator") if text.startswith("Parked ")]
        self.assertRegex(said[0], r"^Parked worker\.\d \(weight \d\.\d\d\), worker.*: 4 of 4 instances were busy for \d+ %")
        channel = folder.channel("worker-consumer")
        self.assertEqual(channel["published"], channel["settled"])
        instances = folder.stats["stages"][1]["instances"]
        self.assertTrue(all(re.match(r"done|parked", each["state"]) for each in instances), instances)

    def test_parks_nobody_where_all_are_needed(self):
        run, folder = self.start_and_find(workers(2, "5ms"))
        wait_until(lambda: folder.status["elapsed_s"] > 4, "it has run for a while")
        self.assertEqual(self.parked(folder), [False, False])
        self.stop(run)
        self.assertFalse([text for text in folder.messages("coordinator") if "Parked" in text])


if __name__ == "__main__":
    unittest.main()
