"""What a run costs: processor time while it waits, memory while it streams."""

import unittest

from penstock_runs import RunTestCase, line_of, stage

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
