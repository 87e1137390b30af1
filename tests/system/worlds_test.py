"""Runs whose ranks meet without MPI: through PMIx, and over TCP."""

import os
import signal
import unittest

from hosts import hosts_for
from penstock_runs import DEMO, RunTestCase, is_built, line_of, mpiexec, program, stage

HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ
HAS_PMIX = os.environ.get("PENSTOCK_HAS_PMIX") == "ON"
ENDLESS = line_of(stage("producer", "records", batch_size=100, total_batches=0, interval="1ms"),
                  stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))


@unittest.skipUnless(HAS_MPI and HAS_PMIX, "no PMIx in this build, or no mpirun, which is its server here")
class Pmix(RunTestCase):
    def test_the_demo_writes_its_rows_without_mpi(self):
        folder = self.run_to_end(DEMO, "--launch", "pmix", launcher=mpiexec(5))

        self.assert_demo_rows(folder.result(), range(100_000))
        self.assertRegex(folder.messages("coordinator")[1], "^Launched by: .*PMIx.*, without MPI$")

    def test_the_wrong_number_of_ranks_is_refused_once(self):
        run = self.start(DEMO, "--launch", "pmix", launcher=mpiexec(3))
        self.assert_code(run, 2)

        self.assertEqual(run.err.count("needs 5 ranks"), 1, run.err)

    def test_an_mpi_transport_is_not_to_be_had(self):
        run = self.start(DEMO, "--launch", "pmix", "--transport", "mpi", launcher=mpiexec(5))
        self.assert_code(run, 3)

        self.assertIn("'mpi'", run.err)

    def test_between_hosts_takes_a_fabric(self):
        if not is_built("ucx"):
            self.skipTest("no UCX in this build")
        hosts = hosts_for(self, 2)

        folder = self.run_to_end(DEMO, "--launch", "pmix", launcher=hosts.mpiexec(5))

        self.assert_demo_rows(folder.result(), range(100_000))
        self.assertIn("over ucx", "\n".join(folder.messages("coordinator")))


class PmixWithoutServer(RunTestCase):
    def test_says_who_offers_it(self):
        run = self.start(DEMO, "--launch", "pmix")
        self.assert_code(run, 3)

        self.assertIn("srun --mpi=pmix" if HAS_PMIX else "libpmix-dev", run.err)


class Tcp(RunTestCase):
    """As many processes as ranks, started by nobody in particular."""

    def start_ranks(self, spec, ranks, *options, only=None):
        path = self.write(spec) if isinstance(spec, dict) else spec
        meet = self.folder / "meet"
        runs = []
        for rank in range(ranks) if only is None else only:
            env = {"PENSTOCK_RANK": str(rank), "PENSTOCK_RANKS": str(ranks), "PENSTOCK_RENDEZVOUS": str(meet)}
            runs.append(self.start_command([program(), "run", path, "--launch", "tcp", "--runs-dir", self.runs_dir, *options], env=env))
        return runs

    def test_the_demo_writes_its_rows(self):
        runs = self.start_ranks(DEMO, 5)
        for run in runs:
            self.assert_code(run, 0)

        folder = self.folder_of(runs[0])
        self.assert_demo_rows(folder.result(), range(100_000))
        self.assertEqual(folder.messages("coordinator")[1], "Launched by: TCP rendezvous, without MPI")
        self.assertFalse((self.folder / "meet").exists())
        self.assertEqual([run.out for run in runs[1:]], [""] * 4)

    def test_a_killed_rank_is_named(self):
        runs = self.start_ranks(ENDLESS, 5)
        self.wait_for_state("running")
        os.kill(runs[2].popen.pid, signal.SIGKILL)
        runs[2].wait()
        self.assert_code(runs[0], 6)

        self.assertIn("stage 'processor' instance 0 (rank 2)", runs[0].err)
        for run in (runs[1], runs[3], runs[4]):
            run.wait()

    def test_ranks_end_when_rank_0_is_killed(self):
        runs = self.start_ranks(ENDLESS, 5)
        self.wait_for_state("running")
        os.kill(runs[0].popen.pid, signal.SIGKILL)
        for run in runs:
            run.wait()

        for run in runs[1:]:
            self.assertNotEqual(run.popen.returncode, 0)

    def test_a_signal_drains(self):
        runs = self.start_ranks(ENDLESS, 5)
        self.wait_for_state("running")
        os.kill(runs[0].popen.pid, signal.SIGTERM)
        self.assert_code(runs[0], 143)

        for run in runs[1:]:
            self.assert_code(run, 0)

    @unittest.skipUnless(is_built("ucx"), "no UCX in this build")
    def test_ranks_that_wait_sleep_though_they_use_two_transports(self):
        """Five seconds with three payloads: control goes through shared memory, payloads over UCX."""
        spec = line_of(stage("source", "records", batch_size=1, total_batches=3, interval="2500ms"),
                       stage("relay", "pass", instances=2), stage("sink", "csv_sink"))
        runs = self.start_ranks(spec, 5, "--transport", "ucx")
        for run in runs:
            self.assert_code(run, 0)

        for run in runs:
            self.assertLess(run.voluntary_switches(), 5 * 200)

    def test_who_is_missing_is_named(self):
        runs = self.start_ranks(DEMO, 5, "--start-timeout", "1s", only=(0, 1, 2, 4))
        self.assert_code(runs[0], 5)

        self.assertIn("rank 3 of 5 did not come to the rendezvous", runs[0].err)
        for run in runs[1:]:
            run.wait()
        self.assertEqual(list(self.folder.glob("meet*")), [])

    def test_without_a_place_says_what_to_set(self):
        run = self.start(DEMO, "--launch", "tcp", env={"SLURM_PROCID": "", "SLURM_JOB_ID": ""})
        self.assert_code(run, 3)

        for word in ("srun", "PENSTOCK_RANK", "PENSTOCK_RENDEZVOUS"):
            self.assertIn(word, run.err)


if __name__ == "__main__":
    unittest.main()
