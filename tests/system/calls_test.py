"""A program that calls a graph, as its user sees it: jobs/ping.cpp."""

import os
import signal
import unittest

from penstock_runs import RunTestCase, mpiexec

ENDLESS = "1000000000"


class Ping(RunTestCase):
    def start_ping(self, calls, launcher=()):
        return self.start_command([*launcher, os.environ["PENSTOCK_PING"], calls])

    def test_has_an_answer_for_each_call(self):
        run = self.start_ping("500")

        self.assert_code(run, 0)
        self.assertEqual(run.out, "4000 pongs for 4000 pings\n")
        self.assertEqual(run.err, "")

    def test_fails_with_the_name_of_the_node_that_is_killed_while_it_starts(self):
        run = self.start_ping(ENDLESS)
        run.process("ping.0").kill()

        self.assert_code(run, 6)
        self.assertRegex(run.err, r"(?s)\nping: disconnected: .*ping.* \(rank 1\)")
        self.assertEqual(run.out, "")

    def test_fails_with_the_name_of_the_node_that_is_killed_while_it_is_called(self):
        run = self.start_ping(ENDLESS)
        self.wait_for_state("running")
        run.process("ping.0").kill()

        self.assert_code(run, 6)
        self.assertIn("\nping: disconnected: stage 'ping' instance 0 (rank 1) was killed by signal 9 (Killed)\n", run.err)
        self.assertEqual(run.out, "")

    def test_takes_its_nodes_with_it(self):
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                run = self.start_ping(ENDLESS)
                run.process("ping.0")
                run.send(number)

                self.assert_code(run, -number)
                self.assert_nothing_left(run)

    @unittest.skipUnless("PENSTOCK_MPIEXEC" in os.environ, "no MPI in this build")
    def test_is_refused_under_mpirun(self):
        run = self.start_ping("1", launcher=mpiexec(1))

        self.assert_code(run, 3)
        self.assertIn("start the program without mpirun", run.err)


if __name__ == "__main__":
    unittest.main()
