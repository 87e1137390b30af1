"""`penstock bench stream-scaling`: the table it writes, by exact counts, and what it refuses."""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

from penstock_runs import LONGEST_RUN_S, SOURCE, program

ORIGINAL_COLUMNS = ["executor", "connector", "stream", "data_size_bytes", "task_count", "task_sleep", "method", "workers",
                    "completed_tasks", "start_submit_tasks_timestamp", "end_tasks_done_timestamp"]
OUR_COLUMNS = ["dispatch_p50_us", "dispatch_p99_us", "rank0_bytes", "cpu_seconds"]
PLOT = SOURCE / "bench" / "plot-stream-scaling"


class StreamScaling(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="penstock-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def bench(self, *extra, **changes):
        options = {"--data-size-bytes": ["1000"], "--stream-method": ["leased"], "--max-workers": ["3"],
                   "--task-count": ["6"], "--task-sleep": ["0.001"], "--run-dir": [str(self.folder)]}
        options.update({"--" + name.replace("_", "-"): [str(v) for v in value] if value is not None else None
                        for name, value in changes.items()})
        words = [word for name, values in options.items() if values is not None for word in (name, *values)]
        return subprocess.run([program(), "bench", "stream-scaling", *words, *extra], capture_output=True, text=True,
                              timeout=LONGEST_RUN_S)

    def rows(self, *extra, **changes):
        result = self.bench(*extra, **changes)
        self.assertEqual(result.returncode, 0, result.stderr)
        (table,) = self.folder.glob("stream-scaling-*/results.csv")
        with open(table, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def test_writes_the_columns_of_the_original_and_then_ours(self):
        (row,) = self.rows()

        self.assertEqual(list(row), ORIGINAL_COLUMNS + OUR_COLUMNS)
        self.assertEqual((row["method"], row["workers"], row["task_count"], row["completed_tasks"]), ("leased", "3", "6", "6"))
        self.assertGreater(float(row["end_tasks_done_timestamp"]), float(row["start_submit_tasks_timestamp"]))

    def test_takes_sizes_outside_and_methods_inside_and_repeats_each(self):
        rows = self.rows(data_size_bytes=[1000, 300000], stream_method=["default", "proxy", "leased"], repeat=[2])

        self.assertEqual([(row["data_size_bytes"], row["method"]) for row in rows],
                         [(size, method) for size in ("1000", "300000") for method in ("default", "proxy", "leased")
                          for _ in range(2)])
        self.assertEqual({row["completed_tasks"] for row in rows}, {"6"})

    def test_moves_payloads_through_rank_0_by_default_only(self):
        rows = self.rows(data_size_bytes=[100000], stream_method=["default", "proxy", "leased"])

        self.assertEqual([row["rank0_bytes"] for row in rows][1:], ["0", "0"])
        self.assertGreaterEqual(int(rows[0]["rank0_bytes"]), 6 * 100000)

    def test_runs_tasks_that_take_no_time_and_tasks_that_compute(self):
        self.assertEqual(self.rows(task_sleep=[0], task_count=["1e3"])[0]["completed_tasks"], "1000")

    def test_computes_when_asked_to(self):
        (row,) = self.rows("--task-kernel", "compute", task_sleep=[0.02])

        self.assertGreater(float(row["cpu_seconds"]), 6 * 0.02 / 4, "on a crowded machine the time passes without us")

    def test_prints_rows_as_json(self):
        result = self.bench("--json")

        (row,) = json.loads(result.stdout)
        self.assertEqual(list(row), ORIGINAL_COLUMNS + OUR_COLUMNS)
        self.assertEqual(row["completed_tasks"], 6)

    def test_works_with_one_worker_besides_the_generator(self):
        self.assertEqual(self.rows(max_workers=[2])[0]["completed_tasks"], "6")

    def test_refuses_what_it_cannot_run(self):
        for changes, words in (({"max_workers": [1]}, "use 2 or more"), ({"max_workers": None}, "--max-workers"),
                               ({"stream_method": ["adios"]}, "adios"), ({"task_count": [0]}, "--task-count"),
                               ({"task_count": [1.5]}, "--task-count"), ({"task_sleep": [-1]}, "--task-sleep"),
                               ({"data_size_bytes": [0]}, "--data-size-bytes"), ({"repeat": [0]}, "--repeat"),
                               ({"run_dir": ["/proc/penstock"]}, "--run-dir")):
            with self.subTest(**changes):
                result = self.bench(**changes)

                self.assertEqual(result.returncode, 2, result.stderr)
                self.assertIn(words, result.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_is_drawn(self):
        self.rows(data_size_bytes=[1000, 10000])
        (table,) = self.folder.glob("stream-scaling-*/results.csv")
        result = subprocess.run([sys.executable, PLOT, table], capture_output=True, text=True, timeout=LONGEST_RUN_S)
        if result.returncode == 2 and "matplotlib" in result.stderr:
            self.skipTest(result.stderr.strip())

        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(table.with_suffix(".png").read_bytes()[:4], b"\x89PNG")

    def test_is_not_drawn_from_something_else(self):
        other = self.folder / "other.csv"
        other.write_text("a,b\n1,2\n")
        result = subprocess.run([sys.executable, PLOT, other], capture_output=True, text=True, timeout=LONGEST_RUN_S)

        self.assertEqual(result.returncode, 2)


if __name__ == "__main__":
    unittest.main()
