"""Signals to a run, and readers that go away."""

import os
import shlex
import signal
import subprocess
import unittest

from penstock_runs import DEMO, RunTestCase, line_of, program, rows_of, stage, wait_until

ENDLESS = line_of(stage("producer", "records", batch_size=100, total_batches=0, interval="1ms"),
                  stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))


class Stopped(RunTestCase):
    def start_and_wait_for_rows(self, spec, *options):
        run = self.start(spec, *options)
        def rows():
            return any(path.stat().st_size > 1000 for path in self.runs_dir.glob("*/results/results.csv"))
        wait_until(rows, "there are results")
        return run

    def assert_drained(self, folder, number):
        status = folder.status
        self.assertEqual((status["state"], status["exit_code"]), ("cancelled", 128 + number))
        made = folder.counter("producer", "records")
        self.assertGreater(made, 0)
        self.assert_demo_rows(folder.result(), range(made))
        for name in ("producer-processor", "processor-consumer"):
            found = folder.channel(name)
            self.assertEqual([found["delivered"], found["settled"]], [found["published"]] * 2)

    def test_by_sigint_drains_what_is_under_way(self):
        run = self.start_and_wait_for_rows(ENDLESS)
        run.send(signal.SIGINT)

        self.assert_code(run, 130)
        self.assert_drained(self.folder_of(run), signal.SIGINT)
        self.assertIn("stopped by signal 2; everything under way was drained", run.err)

    def test_by_sigterm_drains_what_is_under_way(self):
        run = self.start_and_wait_for_rows(ENDLESS)
        run.send(signal.SIGTERM)

        self.assert_code(run, 143)
        self.assert_drained(self.folder_of(run), signal.SIGTERM)

    def test_by_sighup_drains_what_is_under_way(self):
        run = self.start_and_wait_for_rows(ENDLESS)
        run.send(signal.SIGHUP)

        self.assert_code(run, 129)
        self.assert_drained(self.folder_of(run), signal.SIGHUP)

    def test_by_the_warning_of_a_batch_system_drains_what_is_under_way(self):
        run = self.start_and_wait_for_rows(ENDLESS)
        run.send(signal.SIGUSR1)

        self.assert_code(run, 138)
        self.assert_drained(self.folder_of(run), signal.SIGUSR1)

    def test_by_sigterm_to_an_instance_that_pauses_ends_soon(self):
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=0, interval="1h"),
                       stage("processor", "scale_records"), stage("consumer", "csv_sink"))
        for idle in ("adaptive", "spin", "block"):
            self.runs_dir = self.folder / f"runs-{idle}"
            run = self.start(spec, "--idle", idle)
            wait_until(lambda: list(self.runs_dir.glob("*/status.json")), "there is a status")
            self.wait_for_state("running")
            run.process("producer.0").kill(signal.SIGTERM)

            self.assert_code(run, 143)

    def test_at_full_speed_drains_what_is_under_way(self):
        spec = line_of(stage("producer", "records", instances=2, batch_size=100, total_batches=0),
                       stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))
        run = self.start_and_wait_for_rows(spec)
        run.send(signal.SIGTERM)

        self.assert_code(run, 143)
        folder = self.folder_of(run)
        self.assertEqual(folder.status["state"], "cancelled")
        self.assertEqual(len(rows_of(folder.result())), folder.counter("producer", "records"))

    def test_by_a_signal_to_an_instance_drains_too(self):
        run = self.start_and_wait_for_rows(ENDLESS)
        run.process("processor.1").kill(signal.SIGTERM)

        self.assert_code(run, 143)
        self.assert_drained(self.folder_of(run), signal.SIGTERM)

    def test_by_the_terminal_reaches_the_coordinator_only(self):
        """A terminal sends SIGINT to all processes of the job at once."""
        run = self.start_and_wait_for_rows(ENDLESS)
        for process in run.processes():
            process.kill(signal.SIGINT)

        self.assert_code(run, 130)
        self.assert_drained(self.folder_of(run), signal.SIGINT)

    def test_by_a_second_signal_aborts_whatever_operators_do(self):
        spec = line_of(stage("source", "tagged_source", count=10), stage("sink", "slow_sink", delay="1h"))
        run = self.start(spec, faults=True)
        self.wait_for_state("running")
        run.send(signal.SIGTERM)
        self.wait_for_state("stopping")
        run.send(signal.SIGTERM)

        self.assert_code(run, 143, seconds=10)
        self.assertIn("aborted by a second signal", run.err)
        self.assertEqual(self.folder_of(run).status["state"], "failed")


class ClosedOutputs(RunTestCase):
    """A reader that has gone, as with `| head -1`, is no reason to stop."""

    def run_with_closed(self, *names):
        reading, writing = os.pipe()
        os.close(reading)
        options = ["run", str(DEMO), "--runs-dir", str(self.runs_dir), "--json"]
        streams = {name: writing if name in names else subprocess.DEVNULL for name in ("stdout", "stderr")}
        try:
            return subprocess.run([program(), *options], stdin=subprocess.DEVNULL, timeout=60, check=False, **streams)
        finally:
            os.close(writing)

    def run_demo(self):
        return shlex.join(map(str, [program(), "run", DEMO, "--runs-dir", self.runs_dir]))

    def run_script(self, script):
        run = self.start_command(["bash", "-c", script])
        self.assert_code(run, 0)
        return run

    def test_of_standard_output_let_the_run_complete(self):
        self.assertEqual(self.run_with_closed("stdout").returncode, 0)
        self.assert_demo_rows(self.only_folder().result(), range(100_000))

    def test_of_standard_error_let_the_run_complete(self):
        self.assertEqual(self.run_with_closed("stderr").returncode, 0)
        self.assert_demo_rows(self.only_folder().result(), range(100_000))

    def test_of_both_let_the_run_complete(self):
        self.assertEqual(self.run_with_closed("stdout", "stderr").returncode, 0)
        self.assertEqual(self.only_folder().status["state"], "completed")

    def test_in_a_shell_pipeline_let_the_run_complete(self):
        run = self.run_script(f"set -o pipefail; {self.run_demo()} 2>&1 | head -1")

        self.assertRegex(run.out, r"coordinator  Run directory: .*\n$")
        self.assert_demo_rows(self.only_folder().result(), range(100_000))

    def test_from_the_start_let_the_run_complete(self):
        """Descriptors 0, 1 and 2 are then free for files of the run, which nobody may write log lines into."""
        self.run_script(f"{self.run_demo()} <&- >&- 2>&-")

        folder = self.only_folder()
        self.assert_demo_rows(folder.result(), range(100_000))
        self.assertEqual(folder.status["state"], "completed")
        for label in ("coordinator", "producer.0", "consumer.0"):
            self.assertTrue(folder.log(label))


if __name__ == "__main__":
    unittest.main()
