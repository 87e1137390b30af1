"""The peers of `penstock bench stream-scaling`: their rules, what is made of the rows, and those that need nothing but ZeroMQ."""

import contextlib
import importlib.machinery
import importlib.util
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

BENCH = pathlib.Path(os.environ.get("PENSTOCK_SOURCE_DIR", pathlib.Path(__file__).parents[2])) / "bench"
sys.dont_write_bytecode = True
sys.path[:0] = [str(BENCH), str(BENCH / "peers")]
import stream_scaling as peers  # noqa: E402
import stream_scaling_setup as setup  # noqa: E402

LOADER = importlib.machinery.SourceFileLoader("compare_stream_scaling", str(BENCH / "compare-stream-scaling"))
SPEC = importlib.util.spec_from_loader(LOADER.name, LOADER)
compare = importlib.util.module_from_spec(SPEC)
LOADER.exec_module(compare)

MIB = 1 << 20


class Rules(unittest.TestCase):
    def test_one_of_the_workers_generates(self):
        work = peers.Work(1000, 5, 10, 2.0)

        self.assertEqual((work.workers, work.interval_s), (4, 0.5))

    def test_a_payload_that_takes_longer_to_make_than_the_interval_is_made_once(self):
        # 400 MB/s and an interval of 0.25 s: 100 MB, as in the original.
        self.assertFalse(peers.Work(100_000_000, 5, 10, 1.0).pregenerates)
        self.assertTrue(peers.Work(100_000_001, 5, 10, 1.0).pregenerates)
        self.assertTrue(peers.Work(1, 5, 10, 0.0).pregenerates)

    def test_a_task_that_takes_time_has_no_queue_before_it(self):
        self.assertEqual([peers.Work(size, 3, 10, sleep_s).window for size, sleep_s in
                          ((1000, 0.1), (1000, 0), (MIB, 0), (16 * MIB, 0), (64 * MIB, 0))], [1, 64, 16, 1, 1])

    def test_a_damaged_payload_is_noticed(self):
        work = peers.Work(100, 3, 1, 0)
        data = peers.make_payload(100)
        peers.do_task(data, work)
        peers.do_task(peers.WARM_UP, work)

        for wrong in (data[1:], data[:50] + b"\0" + data[51:], b""):
            with self.subTest(size=len(wrong)), self.assertRaises(peers.Failed):
                peers.do_task(wrong, work)


class Rows(unittest.TestCase):
    ROW = {"task_count": 10, "completed_tasks": 10, "start_submit_tasks_timestamp": 100.0, "end_tasks_done_timestamp": 102.5}

    def test_the_rate_is_that_of_the_whole_run(self):
        self.assertEqual(compare.rate_of_row(self.ROW), 4)

    def test_a_run_that_lost_tasks_has_no_rate(self):
        for changes in ({"completed_tasks": 9}, {"end_tasks_done_timestamp": 100.0}):
            with self.subTest(**changes), self.assertRaises(ValueError):
                compare.rate_of_row({**self.ROW, **changes})

    def test_medians_are_written_with_their_range(self):
        options = compare.parse_options(["--task-sleep", "0.5", "--max-workers", "4"])

        (row,) = compare.json_rows({1000: {"zeromq": [5.0, 1.0, 3.0]}}, options)

        self.assertEqual((row["bench"], row["case"], row["value"], row["min"], row["max"], row["rounds"], row["task_count"]),
                         ("zeromq", "stream-scaling, 4 workers, 0.5 s", 3.0, 1.0, 5.0, 3, 1000))

    def test_everybody_is_compared_with_the_best_of_ours(self):
        options = compare.parse_options([])
        with contextlib.redirect_stdout(io.StringIO()) as out:
            compare.print_results({1000: {"penstock-default": [10.0], "penstock-leased": [40.0], "xstream": [10.0]}}, options)

        self.assertIn("4.0x ahead", out.getvalue())
        self.assertLess(out.getvalue().index("penstock-leased"), out.getvalue().index("penstock-default"))

    def test_counts_follow_the_size(self):
        options = compare.parse_options([])

        self.assertEqual([compare.count_for(size, options) for size in (1, 10**6, 10**9)], [1000, 200, 20])
        self.assertEqual(compare.count_for(1, compare.parse_options(["--task-count", "7"])), 7)

    def test_what_has_no_back_pressure_does_not_fill_the_memory(self):
        self.assertIn("MiB of memory are free", compare.piles_up("proxystore", 10 * MIB, 100, 1000 * MIB))
        self.assertIsNone(compare.piles_up("proxystore", 10 * MIB, 10, 1000 * MIB))
        self.assertIsNone(compare.piles_up("zeromq", 10 * MIB, 100, 1000 * MIB))

    def test_every_peer_has_a_method_and_a_description(self):
        self.assertEqual(set(compare.PEERS), set(peers.METHODS))
        self.assertLessEqual(set(peers.NEEDS_REDIS) | set(compare.WITHOUT_BACK_PRESSURE), set(peers.METHODS))


class Commands(unittest.TestCase):
    def run_script(self, *words):
        return subprocess.run([sys.executable, *map(str, words)], capture_output=True, text=True, timeout=120,
                              env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    def test_refuse_what_they_cannot_do(self):
        with tempfile.TemporaryDirectory(prefix="penstock-test-") as folder:
            for words, text in (((BENCH / "compare-stream-scaling", "--peers", "kafka"), "unknown peer"),
                                ((BENCH / "compare-stream-scaling", "--max-workers", "1"), "one worker generates"),
                                ((BENCH / "compare-stream-scaling", "--penstock", "/nowhere/penstock"), "no program"),
                                ((BENCH / "compare-stream-scaling", "--peers", "zeromq", "--peers-dir", folder), "no usable"),
                                ((setup.__file__, "up", folder), "is there already"),
                                ((setup.__file__, "down", folder), "no usable"), ((setup.__file__,), "usage:")):
                with self.subTest(words=words):
                    result = self.run_script(*words)

                    self.assertEqual(result.returncode, 2, result.stderr)
                    self.assertIn(text, result.stderr)
            self.assertEqual(os.listdir(folder), [])

    def test_zeromq_does_the_work(self):
        if importlib.util.find_spec("zmq") is None:
            self.skipTest(f"zmq is missing for {sys.executable}; on Debian: apt-get install python3-zmq")
        for method, size in (("zeromq", 1000), ("zeromq-direct", 1000), ("zeromq", 20 * MIB)):
            with self.subTest(method=method, size=size):
                result = self.run_script(BENCH / "peers" / "stream_scaling.py", method, "--data-size-bytes", size,
                                         "--max-workers", 3, "--task-count", 5, "--task-sleep", 0)

                self.assertEqual(result.returncode, 0, result.stderr)
                row = json.loads(result.stdout)
                self.assertEqual((row["bench"], row["size_bytes"], row["unit"]), (method, size, "tasks/s"))
                self.assertGreater(row["value"], 0)


if __name__ == "__main__":
    unittest.main()
