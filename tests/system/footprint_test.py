"""What a run costs: processor time while it waits, memory while it streams."""

import collections
import re
import shutil
import unittest

from penstock_runs import RunTestCase, line_of, program, stage

MIB = 1 << 20


class Idle(RunTestCase):
    def test_processes_use_no_processor_time(self):
        """Five seconds in which five processes have next to nothing to do."""
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=6, interval="1s"),
                       stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))
        run = self.start(spec)
        self.assert_code(run, 0)

        self.assert_demo_rows(self.folder_of(run).result(), range(60))
        self.assertLess(run.cpu_seconds(), 0.05 * 5)


class RunDirectory(RunTestCase):
    """How often a run turns to the file system of its directory: a thousand instances of it are one file system's clients."""

    def calls_by_second(self, run_name):
        """For each process, which second of its life has how many calls that name a file of the run."""
        calls = {}
        for trace in self.folder.glob("trace.*"):
            times = [float(line.split(maxsplit=1)[0]) for line in trace.read_text(errors="replace").splitlines()
                     if re.match(r"[\d.]+ \w+\(", line) and f"{run_name}/" in line]
            if times:
                calls[trace.name] = collections.Counter(int(time) for time in times)
        return calls

    def test_is_left_alone_by_instances_and_asked_ten_times_a_second_by_rank_0(self):
        if shutil.which("strace") is None:
            self.skipTest("strace is missing; on Debian: apt-get install strace")
        spec = self.write(line_of(stage("producer", "records", batch_size=10, total_batches=6, interval="1s"),
                                  stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink")))
        run = self.start_command(["strace", "-ff", "-y", "-ttt", "-qq", "-o", self.folder / "trace", "-e",
                                  "trace=%file,write,pwrite64,fsync,fdatasync,ftruncate,close", program(), "run", spec,
                                  "--runs-dir", self.runs_dir, "--no-progress"])
        self.assert_code(run, 0)

        calls = self.calls_by_second(self.folder_of(run).path.name)
        seconds = set().union(*calls.values())
        amid = range(min(seconds) + 2, max(seconds) - 1)
        self.assertGreaterEqual(len(amid), 2)
        most = sorted((max(each[second] for second in amid) for each in calls.values()), reverse=True)
        self.assertLessEqual(most[0], 15, "three replacements, where a second begins with one")
        self.assertGreater(most[0], 4)
        self.assertEqual(set(most[1:]), {0}, "instances write their results at the end, and nothing else")


class Memory(RunTestCase):
    def assert_bounded(self, spec, arena_mib, payloads):
        run = self.start(spec, "--arena-mib", str(arena_mib))
        self.assert_code(run, 0)
        folder = self.folder_of(run)

        self.assertEqual(folder.counter("sink", "payloads"), payloads)
        self.assertEqual(folder.counter("sink", "bytes"), payloads * MIB)
        self.assertLess(run.most_resident_bytes(), (arena_mib + 32) * MIB)

    def test_is_bounded_by_the_arena_however_much_flows_by_reference(self):
        count = 100_000
        self.assert_bounded(line_of(stage("source", "pattern", size_bytes="1MiB", count=count, touch=False),
                                    stage("middle", "pass"), stage("sink", "null", touch=False)), 64, count)

    def test_is_bounded_by_the_arena_when_every_word_is_written_and_read(self):
        count = 1000
        self.assert_bounded(line_of(stage("source", "pattern", size_bytes="1MiB", count=count),
                                    stage("middle", "pass"), stage("sink", "null")), 64, count)


if __name__ == "__main__":
    unittest.main()
