"""Disks that are full, files that may not grow and folders that are read-only."""

import os
import resource
import shutil
import signal
import subprocess
import unittest

from penstock_runs import DEMO, RunTestCase, line_of, rows_of, stage

MIB = 1 << 20


def endless(output):
    return line_of(stage("producer", "records", batch_size=1000, total_batches=0),
                   stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink", output=str(output)))


def may_not_write_files_beyond(size_bytes):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
    return limit


class StorageTestCase(RunTestCase):
    def mount(self, *options):
        """A small file system of its own. Skips the test where none can be mounted."""
        if os.geteuid() != 0:
            self.skipTest("only root can mount a small file system")
        place = self.folder / "small disk"
        place.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(("mode=0700", *options)), "tmpfs", place],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no small file system can be mounted here: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", place], check=True)
        return place

    def fill(self, place, leave=0):
        """Leaves that many bytes free."""
        free = shutil.disk_usage(place).free
        (place / "ballast").write_bytes(b"\0" * max(0, free - leave))

    def assert_ends_at_a_row(self, path, folder):
        text = path.read_text()
        self.assertTrue(text.endswith("\n"), text[-100:])
        rows = rows_of(path)
        self.assertEqual([row for row in rows if row[1] != 3.0 * row[0]][:3], [])
        self.assertGreaterEqual(len(rows), 1000 * folder.channel("processor-consumer")["settled"])
        self.assertEqual(len(rows) % 1000, 0)


def may_not_have_more_than(resource_name, number):
    return lambda: resource.setrlimit(resource_name, (number, number))


class Shortage(StorageTestCase):
    """Of what the system gives to a process."""

    def test_of_file_handles_is_told_with_its_remedy(self):
        for number in (6, 8):
            run = self.start(DEMO, preexec=may_not_have_more_than(resource.RLIMIT_NOFILE, number))

            self.assert_code(run, 4)
            self.assertIn("ulimit -n", run.err)

    def test_of_memory_is_told_as_such(self):
        run = self.start(DEMO, preexec=may_not_have_more_than(resource.RLIMIT_AS, 1 << 30))

        self.assert_code(run, 4)
        self.assertIn("exhausted: ", run.err)

    def test_of_file_size_is_told_as_such(self):
        run = self.start(DEMO, preexec=may_not_write_files_beyond(1 << 20))

        self.assert_code(run, 4)
        self.assertIn("File too large", run.err)


class FullDisk(StorageTestCase):
    def assert_full(self, run, path, reason):
        self.assert_code(run, 4)
        answer = run.err[run.err.index("\npenstock: "):]
        for text in ("exhausted: ", path, reason, "free space", "consumer.0"):
            self.assertIn(text, answer)
        folder = self.folder_of(run)
        self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("failed", 4))
        return folder

    def test_for_results_ends_the_run_with_complete_rows(self):
        place = self.mount("size=3m")
        path = place / "results.csv"
        folder = self.assert_full(self.start(endless(path)), str(path), "No space left on device")

        self.assert_ends_at_a_row(path, folder)

    def test_for_results_from_the_start_ends_the_run(self):
        place = self.mount("size=1m")
        self.fill(place)
        path = place / "results.csv"
        self.assert_full(self.start(endless(path)), str(path), "No space left on device")

    def test_device_ends_the_run(self):
        if not os.path.exists("/dev/full"):
            self.skipTest("this system has no /dev/full")
        self.assert_full(self.start(endless("/dev/full")), "/dev/full", "No space left on device")

    def test_quota_of_one_file_ends_the_run_with_complete_rows(self):
        # More than the memory of an instance, which is a file too.
        run = self.start(endless("results.csv"), "--arena-mib", "4", preexec=may_not_write_files_beyond(16 * MIB))
        folder = self.assert_full(run, "results.csv", "File too large")

        self.assert_ends_at_a_row(folder.result(), folder)

    def test_for_the_run_directory_is_told_before_anything_starts(self):
        place = self.mount("size=1m", "nr_inodes=4")
        run = self.start(DEMO, runs_dir=place / "a" / "b" / "c" / "d" / "e")

        self.assert_code(run, 4)
        for text in ("exhausted: ", str(place), "No space left on device", "--runs-dir"):
            self.assertIn(text, run.err)

    def test_for_the_plan_ends_the_run_before_it_streams(self):
        place = self.mount("size=1m")
        self.fill(place)
        run = self.start(DEMO, runs_dir=place)

        self.assert_code(run, 4)
        for text in ("exhausted: ", str(place), "No space left on device"):
            self.assertIn(text, run.err)

    def test_for_logs_and_status_lets_the_run_complete_and_tells_it(self):
        place = self.mount("size=1m")
        self.fill(place, leave=48 * 1024)
        path = self.folder / "results.csv"
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=10_000),
                       stage("processor", "scale_records", instances=2),
                       stage("consumer", "csv_sink", output=str(path)))
        run = self.start(spec, runs_dir=place)

        self.assert_code(run, 0)
        self.assert_demo_rows(path, range(100_000))
        self.assertIn("cannot write the log", run.err)
        self.assertIn("No space left on device", run.err)
        folder = self.folder_of(run)
        for label in ("coordinator", "producer.0", "processor.0", "processor.1", "consumer.0"):
            folder.log(label)  # whole lines only


class ReadOnly(StorageTestCase):
    def mount_read_only(self):
        place = self.mount("size=1m")
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        return place

    def test_place_for_runs_is_named(self):
        place = self.mount_read_only()
        run = self.start(DEMO, runs_dir=place / "runs")

        self.assert_code(run, 2)
        for text in ("invalid input: ", str(place / "runs"), "Read-only file system", "--runs-dir"):
            self.assertIn(text, run.err)

    def test_place_for_results_is_named(self):
        place = self.mount_read_only()
        run = self.start(endless(place / "results.csv"))

        self.assert_code(run, 2)
        for text in ("invalid input: ", str(place / "results.csv"), "Read-only file system", "consumer.0"):
            self.assertIn(text, run.err)

    def test_folder_of_somebody_else_is_named(self):
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        place = self.folder / "locked"
        place.mkdir(mode=0o500)
        run = self.start(DEMO, runs_dir=place / "runs")

        self.assert_code(run, 2)
        for text in (str(place / "runs"), "Permission denied", "--runs-dir"):
            self.assertIn(text, run.err)


if __name__ == "__main__":
    unittest.main()
