"""The measurement that users run on AWS (bench/p4d-c5n), small and here: on one machine and between hosts that share no memory."""

import json
import os
import shlex
import sys
import unittest

from hosts import hosts_for
from penstock_runs import SOURCE, RunTestCase, is_built, program

THROUGHPUT = SOURCE / "bench" / "p4d-c5n" / "throughput"
SMALL = ["--sizes", "64KiB,1MiB", "--instances", "1,2", "--gigabytes", "0.02"]
HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ

# What the programs print, with a figure that is not to be mistaken for another one.
FI_RDM_BW = """#!/bin/bash
if [ "${@: -1}" != h2 ]; then  # the server, which waits for its client
    for _ in {1..300}; do [ -e FOLDER/client ] && exit 0; sleep 0.1; done
    exit 1
fi
if [ ! -e FOLDER/tried ]; then touch FOLDER/tried; echo "connection refused" >&2; exit 111; fi
touch FOLDER/client
echo "bytes   #sent   #ack     total       time     MB/sec    usec/xfer   Mxfers/sec"
echo "64k     1k      =1k      62m         0.02s   7654.32       8.56       0.12"
"""
OSU_MBW_MR = """#!/bin/bash
[ "${OMPI_COMM_WORLD_RANK}" = 0 ] || exit 0
echo "# OSU MPI Multiple Bandwidth / Message Rate Test v5.9"
echo "# [ pairs: $((OMPI_COMM_WORLD_SIZE / 2)) ] [ window size: 64 ]"
echo "# Size                  MB/s        Messages/s"
echo "65536                4321.00          65933.23"
"""


class ThroughputTestCase(RunTestCase):
    def measure(self, *words, code=0, words_before=(), env=None):
        run = self.start_command([*words_before, sys.executable, THROUGHPUT, "--program", program(), "--folder", self.folder,
                                  *words], env=env)
        self.assert_code(run, code, seconds=120)
        self.assertEqual(list(self.folder.glob("throughput-*")), [], "it cleans up")
        return run

    def assert_rows(self, path, limit, used):
        rows = json.loads(path.read_text())
        self.assertEqual([(row["size_bytes"], row["case"]) for row in rows],
                         [(size, f"{count} instances a node, {used}") for size in (65536, 1 << 20) for count in (1, 2)])
        for row in rows:
            self.assertEqual((row["unit"], row["limit"]), ("GB/s", limit))
            self.assertGreater(row["value"], 0)


class OneMachine(ThroughputTestCase):
    def test_prints_a_table_and_says_that_no_network_is_measured(self):
        rows = self.folder / "rows.json"
        run = self.measure(*SMALL, "--line-rate", "50", "--json", rows)

        self.assertIn("nodes: this machine, no network\n", run.out)
        self.assertRegex(run.out, r"size +instances +transport +GB/s +of line +fabtests +osu_mbw_mr\n")
        self.assertRegex(run.out, r"64 KiB +1 +shm +\d+\.\d\d +\d+% +- +-\n")
        self.assertIn("fabtests: not measured, as there is no other node", run.out)
        self.assert_rows(rows, 50, "shm")

    def test_leaves_out_a_transport_that_is_not_built(self):
        run = self.measure("--sizes", "4KiB", "--instances", "1", "--gigabytes", "0.001", "--transports", "pigeon,auto")

        self.assertIn("transport pigeon: not built into", run.out)
        self.assertRegex(run.out, r"4 KiB +1 +shm ")

    def test_says_why_it_has_nothing_to_say(self):
        for words, reason in ((["--hosts", "a,b,c"], "3 is no even number of nodes"),
                              (["--program", "/nowhere/penstock"], "cannot start /nowhere/penstock")):
            with self.subTest(reason):
                run = self.measure(*words, code=2)
                self.assertIn(reason, run.err)
                self.assertNotIn("Traceback", run.err)

    def test_goes_on_after_a_case_that_fails_and_says_so_at_the_end(self):
        run = self.measure("--sizes", "1GiB,4KiB", "--instances", "1", "--gigabytes", "0.001", code=1)

        self.assertRegex(run.out, r"4 KiB +1 +shm ")
        self.assertRegex(run.err, "failed: 1 GiB x 1 auto: exit code ")


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class TwoHosts(ThroughputTestCase):
    def setUp(self):
        super().setUp()
        self.hosts = hosts_for(self, 2)

    def measure_between(self, *words, env=None):
        mpirun = ["mpirun", "--mca", "plm", "rsh", "--mca", "plm_rsh_agent", str(self.hosts.agent), "--mca", "oob_tcp_if_include",
                  "eth0", "--mca", "btl_tcp_if_include", "eth0"]
        return self.measure("--hosts", "h2,h1", "--launcher", shlex.join(mpirun), *words,
                            words_before=self.hosts.all[1].words(), env=env)

    def test_every_transport_between_them(self):
        for transport in ("ucx", "mpi"):
            with self.subTest(transport):
                if not is_built(transport):
                    self.skipTest(f"{transport} is not built")
                rows = self.folder / f"{transport}.json"
                run = self.measure_between(*SMALL, "--transports", transport, "--json", rows)

                self.assertIn("nodes: mpirun on h1, h2\n", run.out)  # its own first
                self.assert_rows(rows, 12.5, transport)

    def test_refuses_a_figure_of_ranks_that_are_not_where_they_were_to_be(self):
        everywhere = self.folder / "mpirun"
        everywhere.write_text('#!/bin/bash\nwhile [ "$1" != -n ]; do shift; done\nexec mpirun "$@"\n')
        everywhere.chmod(0o755)
        run = self.measure("--hosts", "h1,h2", "--launcher", everywhere, "--sizes", "64KiB", "--instances", "1", "--gigabytes",
                           "0.01", words_before=self.hosts.all[1].words(), code=1)

        self.assertIn("node h1 has sending and receiving instances", run.err)

    def test_says_which_transport_was_chosen_and_why(self):
        run = self.measure_between("--sizes", "64KiB", "--instances", "1", "--gigabytes", "0.01")

        self.assertNotRegex(run.out, r"64 KiB +1 +shm ")
        self.assertRegex(run.out, r"1 instances over \w+ \(no shared memory: ")

    def test_says_what_another_program_says_instead_of_a_figure(self):
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "osu_mbw_mr").write_text("#!/bin/bash\necho no bandwidth today\n")
        (tools / "osu_mbw_mr").chmod(0o755)
        run = self.measure_between("--sizes", "64KiB", "--instances", "1", "--gigabytes", "0.01",
                                   env={"PATH": f"{tools}:{os.environ['PATH']}"})

        self.assertRegex(run.out, "osu_mbw_mr: no MB/s in the last line of what it says: no bandwidth today")

    def test_sets_what_others_reach_beside_it(self):
        tools = self.folder / "tools"
        tools.mkdir()
        for name, text in (("fi_rdm_bw", FI_RDM_BW), ("osu_mbw_mr", OSU_MBW_MR)):
            (tools / name).write_text(text.replace("FOLDER", str(tools)))
            (tools / name).chmod(0o755)
        rows = self.folder / "rows.json"
        run = self.measure_between("--sizes", "64KiB", "--instances", "2", "--gigabytes", "0.01", "--json", rows,
                                   env={"PATH": f"{tools}:{os.environ['PATH']}"})

        self.assertRegex(run.out, r"64 KiB +2 +\w+ +\d+\.\d\d +\d+% +7\.65 +4\.32\n")
        limits = {row["case"].partition("limit: ")[2]: row["limit"] for row in json.loads(rows.read_text())}
        self.assertEqual(limits, {"": 12.5, "fabtests": 7.65432, "osu_mbw_mr": 4.321})


if __name__ == "__main__":
    unittest.main()
