"""A writer killed with -9 leaves an HDF5 file that any reader opens, with everything that was settled. A file of
telemetry is gone on with by the next writer."""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

try:
    import h5py
    import numpy
except ImportError:
    print("skipped: python3-h5py is not installed")
    sys.exit(77)

ENDLESS = os.environ["PENSTOCK_HDF5_ENDLESS"]
KILLS = int(os.environ.get("PENSTOCK_HDF5_KILLS", "4"))  # of each kind at random moments
WRITES = int(os.environ.get("PENSTOCK_HDF5_WRITES", "48"))  # each of the first so many is one that does not happen
DEADLINE_S = 30
# Commits without pause, so that many kills hit one.
EAGER = ("flush=0", "buffer=1048576")


class Writer:
    def __init__(self, folder, kind, elements, settings, kill_at_write=0):
        self.path = folder / "results.h5"
        (folder / "notes").unlink(missing_ok=True)
        self.notes = folder / "notes"
        self.error = folder / "stderr"
        with open(self.error, "wb") as error:
            self.process = subprocess.Popen([ENDLESS, self.path, self.notes, kind, str(elements), *settings],
                                            stderr=error, env={**os.environ, "KILL_AT_WRITE": str(kill_at_write)})

    def settled(self):
        """How many payloads, from the first one on."""
        notes = self.notes.read_bytes() if self.notes.exists() else b""
        return notes.find(b"\0") if notes else 0

    def kill_after(self, settled, seconds):
        deadline = time.monotonic() + DEADLINE_S
        while self.settled() < settled:
            if self.process.poll() is not None:
                raise AssertionError(f"the writer ended: {self.error.read_text()}")
            if time.monotonic() > deadline:
                self.process.kill()
                raise AssertionError("nothing is settled")
            time.sleep(0.001)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Killed(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(self.id())
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="penstock-test-"))
        self.addCleanup(shutil.rmtree, self.top, ignore_errors=True)

    def each_kill(self, check, kind, elements, *settings):
        """Gives `check` the open file of a killed writer and how many payloads it had settled."""
        for _ in range(KILLS):
            with self.writer(kind, elements, settings) as writer:
                writer.kill_after(1, self.random.uniform(0, 0.12))
                self.assertGreater(writer.settled(), 0)
                with h5py.File(writer.path, "r") as file:
                    self.assertEqual(file.attrs["complete"], 0)
                    check(file, writer.settled())
        for number in range(1, WRITES + 1):
            with self.subTest(write=number), self.writer(kind, elements, settings, number) as writer:
                self.assertEqual(writer.process.wait(DEADLINE_S), -signal.SIGKILL, writer.error.read_text())
                if not writer.path.exists():  # killed before it was there
                    self.assertEqual(writer.settled(), 0)
                    continue
                with h5py.File(writer.path, "r") as file:
                    if "data_payloads" in file:
                        check(file, writer.settled())
                    else:
                        self.assertEqual(writer.settled(), 0)

    @contextlib.contextmanager
    def writer(self, *arguments):
        folder = pathlib.Path(tempfile.mkdtemp(dir=self.top))
        writer = Writer(folder, *arguments)
        try:
            yield writer
        finally:
            writer.process.kill()
            writer.process.wait()
            shutil.rmtree(folder)

    def assert_table(self, file, settled):
        table = file["data_payloads"][:]
        self.assertGreaterEqual(len(table), settled)
        self.assertTrue((table["sequence"] == numpy.arange(len(table))).all())
        self.assertLessEqual(set(table["metadata"]), {b"{}"})
        return table

    def assert_stack(self, file, settled):
        data = file["data"][:]
        table = self.assert_table(file, settled)
        self.assertGreaterEqual(len(data), len(table))
        self.assertTrue((data == numpy.arange(len(data))[:, None]).all())

    def assert_rows(self, file, settled):
        data = file["data"][:]
        table = self.assert_table(file, settled)
        self.assertTrue((table["rows"] == numpy.arange(len(table)) % 700 + 1).all())
        self.assertGreaterEqual(len(data), table["rows"].sum())
        expected = numpy.repeat(numpy.arange(len(table)), table["rows"].astype(int))
        self.assertTrue((data[: len(expected)] == expected).all())

    def assert_datasets(self, file, settled):
        table = self.assert_table(file, settled)
        there = sum(len(lot) for lot in file["data/1.0"].values())
        self.assertGreaterEqual(there, len(table))
        for i in range(there):
            self.assertEqual(list(file[f"data/1.0/{i // 128 * 128}/1.0.{i}"][:]), [i] * 16)

    def assert_texts(self, file, settled):
        texts = file["data"][:]
        self.assertGreaterEqual(len(texts), len(self.assert_table(file, settled)))
        for i, text in enumerate(texts):
            self.assertEqual(text, f"{i};".encode() * 40)

    def test_with_many_rows_in_a_chunk(self):
        self.each_kill(self.assert_stack, "numbers", 16, *EAGER)

    def test_with_a_chunk_for_each_payload(self):
        self.each_kill(self.assert_stack, "numbers", 2048, *EAGER, "chunk=16384")

    def test_with_commits_now_and_then(self):
        self.each_kill(self.assert_stack, "numbers", 500, "flush=20")

    def test_with_compression(self):
        for name in ("gzip", "shuffle_gzip"):
            self.each_kill(self.assert_stack, "numbers", 16, *EAGER, f"compression={name}", "chunk=16384", "level=1")

    def test_with_payloads_of_any_length_one_after_the_other(self):
        self.each_kill(self.assert_rows, "numbers", 700, *EAGER, "layout=append", "chunk=16384")

    def test_with_a_dataset_for_each_payload(self):
        self.each_kill(self.assert_datasets, "numbers", 16, *EAGER, "layout=separate")

    def test_with_texts(self):
        self.each_kill(self.assert_texts, "text", 40, *EAGER)

    def test_with_telemetry_that_is_gone_on_with(self):
        for number in range(WRITES + KILLS):
            folder = pathlib.Path(tempfile.mkdtemp(dir=self.top))
            found = set()
            for again in range(3):
                at_random = number >= WRITES
                # Every writer begins at the first message, and leaves out what is there.
                kill_at_write = 0 if at_random else number * (again + 1) + 1
                with self.subTest(write=number, again=again):
                    writer = Writer(folder, "telemetry", 20, ("flush_interval=0",), kill_at_write)
                    self.addCleanup(writer.process.wait)
                    self.addCleanup(writer.process.kill)
                    if at_random:
                        writer.kill_after(1, self.random.uniform(0, 0.1))
                    self.assertEqual(writer.process.wait(DEADLINE_S), -signal.SIGKILL, writer.error.read_text())
                    if not writer.path.exists():
                        self.assertEqual(writer.settled(), 0)
                        continue
                    with h5py.File(writer.path, "r") as file:
                        found = self.assert_telemetry(file, writer.settled(), 20, found)

    def assert_telemetry(self, file, settled, elements, found_before):
        """See hdf5_endless.cpp. Returns the values that are there."""
        gpus = [row["uuid"].decode() for row in file["gpus"][:]]
        pods = {row["uuid"].decode(): int(row["pod"].decode()[4:]) for row in file["gpus"][:] if row["pod"]}
        labels = [label.decode() for label in file["labels"][:]]
        self.assertEqual(len(labels), len(set(labels)))
        self.assertEqual(labels[0], "")
        found = set()
        for metric, table in file["telemetry"].items():
            for time_ns, value, gpu, label in table[:].tolist():
                self.assertEqual(value, time_ns)
                self.assertEqual(f"M{time_ns % 3}", metric)
                self.assertEqual(f"GPU-{time_ns % (time_ns // elements // 8 + 1)}", gpus[gpu])
                self.assertEqual(f"l{time_ns // 10}", labels[label])
                self.assertNotIn(time_ns, found)
                found.add(time_ns)
        self.assertLessEqual(found_before, found)
        messages = [i for i in range(settled) if i % 4 != 0]
        self.assertLessEqual({t for i in messages for t in range(i * elements, (i + 1) * elements)}, found)
        for i in range(0, settled, 4):
            self.assertGreaterEqual(pods[f"GPU-{i // 8 if i % 8 == 0 else (i // 8 + 1) // 2}"], i)
        return found


if __name__ == "__main__":
    unittest.main()
