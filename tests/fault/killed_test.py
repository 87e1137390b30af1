"""Every process of a run killed with -9, at random moments. PENSTOCK_TEST_SEED repeats them."""

import contextlib
import os
import random
import re
import time
import unittest

from penstock_runs import RunTestCase, is_built, line_of, rows_of, stage, wait_until

SEED = int(os.environ.get("PENSTOCK_TEST_SEED", random.SystemRandom().randrange(1 << 32)))
REPEATS = 3
LONGEST_END_S = 5
BATCH = 100
RANKS = {"producer.0": 1, "processor.0": 2, "processor.1": 3, "consumer.0": 4}


def pipeline(interval, **keys):
    return line_of(stage("producer", "records", batch_size=BATCH, total_batches=0, interval=interval),
                   stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"), **keys)


class Killed(RunTestCase):
    keys = {}  # of the channels

    @classmethod
    def setUpClass(cls):
        print(f"PENSTOCK_TEST_SEED={SEED}", flush=True)

    def setUp(self):
        super().setUp()
        self.random = random.Random(f"{SEED} {self.id()}")

    def start_killable(self):
        """Alternates between a source that runs at full speed and one that leaves the others waiting."""
        self.runs_dir = self.folder / f"runs-{len(self.started)}"
        return self.start(pipeline(("0ms", "1ms")[len(self.started) % 2], **self.keys))

    def kill_at_some_moment(self, run, label):
        process = run.process(label)
        time.sleep(self.random.uniform(0, 0.15))  # the moment is the experiment
        process.kill()
        killed = time.monotonic()
        run.wait()
        self.assertLess(time.monotonic() - killed, LONGEST_END_S)

    def assert_rows(self, folder, settled, may_end_within_a_row):
        """The rows are right and hold at least what was settled."""
        path = folder.result()
        if not path.exists():  # killed before the consumer had made it
            return self.assertEqual(settled, 0)
        text = path.read_text()
        if not may_end_within_a_row:
            self.assertTrue(text == "" or text.endswith("\n"), text[-100:])
        rows = rows_of(path)
        self.assertEqual([row for row in rows if row[1] != 3.0 * row[0]][:3], [])
        self.assertEqual(len({row[0] for row in rows}), len(rows))
        self.assertGreaterEqual(len(rows), BATCH * settled)

    def kill_instance(self, label):
        for number in range(REPEATS):
            with self.subTest(label=label, number=number):
                run = self.start_killable()
                self.kill_at_some_moment(run, label)

                self.assertEqual(run.popen.returncode, 6, run.err[-4000:])
                name, instance = label.split(".")
                answer = run.err[run.err.index("\npenstock: "):]
                self.assertRegex(answer, rf"stage '{name}' instance {instance} \(rank {RANKS[label]}\)|"
                                         rf"{re.escape(label)} \(rank {RANKS[label]}\)")
                self.assertIn("signal 9", answer)
                folder = self.only_folder()
                self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("failed", 6))
                self.assert_rows(folder, folder.channel("processor-consumer")["settled"],
                                 may_end_within_a_row=label == "consumer.0")
                self.assertEqual(list(folder.path.rglob("*.new")), [])
                self.assert_nothing_left(run)

    def test_producer_ends_the_run_with_its_name(self):
        self.kill_instance("producer.0")

    def test_first_processor_ends_the_run_with_its_name(self):
        self.kill_instance("processor.0")

    def test_second_processor_ends_the_run_with_its_name(self):
        self.kill_instance("processor.1")

    def test_consumer_ends_the_run_with_its_name(self):
        self.kill_instance("consumer.0")

    def test_coordinator_takes_all_instances_with_it(self):
        for number in range(REPEATS):
            with self.subTest(number=number):
                run = self.start_killable()
                time.sleep(self.random.uniform(0, 0.15))  # the moment is the experiment
                run.popen.kill()
                run.wait()
                wait_until(lambda run=run: not run.processes(), "the instances are gone", seconds=LONGEST_END_S)

                folders = list(self.runs_dir.glob("*/status.json"))
                if not folders:  # killed before it had told anything
                    continue
                folder = self.only_folder()
                settled = folder.channel("processor-consumer", "status.json")["settled"]
                self.assert_rows(folder, settled, may_end_within_a_row=True)

    def test_several_at_once_end_the_run_too(self):
        for number in range(REPEATS):
            with self.subTest(number=number):
                run = self.start_killable()
                victims = [run.process(label) for label in self.random.sample(sorted(RANKS), 3)]
                time.sleep(self.random.uniform(0, 0.15))  # the moment is the experiment
                for victim in victims:
                    with contextlib.suppress(ProcessLookupError):  # the run may be ending already
                        victim.kill()

                self.assert_code(run, 6, seconds=30)
                self.assertIn("signal 9", run.err)


class KilledWhileCentral(Killed):
    """Tickets go through the coordinator; what is settled has reached its consumer all the same."""

    keys = {"dispatch": "central"}


@unittest.skipUnless(is_built("ucx"), "no UCX in this build")
class KilledOverUcx(Killed):
    """The connections of the others break, and none of them hangs."""

    keys = {"transport": "ucx"}


@unittest.skipUnless(is_built("ofi"), "no libfabric in this build")
class KilledOverOfi(Killed):
    """Likewise."""

    keys = {"transport": "ofi"}


if __name__ == "__main__":
    unittest.main()
