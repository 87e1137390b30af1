"""Holds that the check for leftovers, which ends every other test, finds them."""

import unittest
import uuid

from penstock_runs import SHM, RunTestCase, wait_until


class Leftovers(RunTestCase):
    def assert_found(self, script, text, program=None):
        """@param program  That the script leaves running; it may start after the script has ended."""
        run = self.start_command(["sh", "-c", script])
        self.assert_code(run, 0)
        self.started.clear()
        if program:
            wait_until(lambda: program in {process.label for process in run.processes()}, f"{program} runs")

        with self.assertRaisesRegex(AssertionError, text):
            self.assert_nothing_left(run, seconds=0.5)

    def test_that_are_processes_are_found(self):
        self.assert_found("sleep 60 & exit 0", "processes are left: sleep", program="sleep")

    def test_that_are_orphans_in_a_session_of_their_own_are_found(self):
        self.assert_found("setsid sleep 60 & exit 0", "processes are left: sleep", program="sleep")

    def test_that_are_shared_memory_are_found(self):
        path = SHM / f"penstock-test-{uuid.uuid4().hex}"
        self.addCleanup(path.unlink)
        self.assert_found(f"echo left > {path}", str(path))

    def test_that_are_temporary_files_are_found(self):
        self.assert_found("mktemp", "left in the temporary folder")


if __name__ == "__main__":
    unittest.main()
