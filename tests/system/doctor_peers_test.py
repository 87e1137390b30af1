"""`penstock doctor --peers`: the pairs of an MPI job, on one host and between hosts."""

import itertools
import json
import os
import unittest
import xml.etree.ElementTree

from hosts import hosts_for
from penstock_runs import RunTestCase, is_built, mpiexec, program

HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ


class OutsideAJob(RunTestCase):
    def test_asks_for_a_job(self):
        run = self.command("doctor", "--peers")
        self.assert_code(run, 3)
        self.assertRegex(run.err, "mpirun|MPI")

    def test_options_of_the_peers_need_them(self):
        run = self.command("doctor", "--svg", self.folder / "pairs.svg")
        self.assert_code(run, 2)
        self.assertIn("--peers", run.err)


class PeersTestCase(RunTestCase):
    def start_peers(self, launcher, *words, env=None):
        return self.start_command([*launcher, program(), "doctor", "--peers", "--runs-dir", self.folder, *words], env=env)

    def peers(self, launcher, *words, env=None):
        """The figures by pair, of a job that measures all of them."""
        run = self.start_peers(launcher, "--json", "--seconds", 1, *words, env=env)
        self.assertIn(run.wait(), (0, 1), run.err)  # the machine may have a finding
        answer = json.loads(run.out)
        pairs = {(pair["from"], pair["to"]): pair for pair in answer["peers"]["pairs"]}
        self.nodes = [node["host"] for node in answer["nodes"]]
        ranks = len(answer["peers"]["hosts"])
        self.assertEqual(set(pairs), set(itertools.permutations(range(ranks), 2)))
        for pair in pairs.values():
            self.assertNotIn("problem", pair)
            self.assertGreater(pair["latency_us"], 0)
            self.assertGreater(pair["bytes_per_s"], 0)
        return answer["peers"]["hosts"], pairs


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class OneHost(PeersTestCase):
    def test_measures_all_pairs_over_shared_memory(self):
        for words in ((), ("--together",)):
            _, pairs = self.peers(mpiexec(3), *words)

            self.assertEqual({pair["transport"] for pair in pairs.values()}, {"shm"})

    def test_draws_them_as_text_and_as_a_picture(self):
        picture = self.folder / "pairs.svg"
        run = self.start_peers(mpiexec(2), "--seconds", 0.5, "--svg", picture, env={"LC_ALL": "C"})
        self.assertIn(run.wait(), (0, 1), run.err)

        self.assertRegex(run.out, r"latency in us.*\n +rank +0 +1\r?\n +0 +- +[\d.]+[.:+#@]  \S")
        self.assertIn("measured: 2 over shm", run.out)
        self.assertIn("rank 0 reaches 1 rank over shm (its memory is mapped here: same node)", run.out)
        tags = [element.tag.rpartition("}")[2] for element in xml.etree.ElementTree.parse(picture).iter()]
        self.assertEqual(tags.count("title"), 4)

    def test_a_job_of_one_rank_has_no_pairs(self):
        hosts, pairs = self.peers(mpiexec(1))

        self.assertEqual((len(hosts), pairs), (1, {}))


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class TwoHosts(PeersTestCase):
    def setUp(self):
        super().setUp()
        self.hosts = hosts_for(self, 2)

    def test_measures_each_pair_over_the_transport_that_a_run_would_take(self):
        names, pairs = self.peers(self.hosts.mpiexec(4), env={"UCX_NET_DEVICES": "eth0"})

        self.assertEqual(self.nodes, ["h1", "h2"])
        self.assertEqual(sorted(set(names)), ["h1", "h2"])
        far = "ucx" if is_built("ucx") else "mpi"
        for (one, other), pair in pairs.items():
            self.assertEqual(pair["transport"], "shm" if names[one] == names[other] else far)


if __name__ == "__main__":
    unittest.main()
