"""`penstock doctor --peers`: the pairs of an MPI job, on one host and between hosts."""

import itertools
import json
import os
import struct
import unittest
import xml.etree.ElementTree
import zlib

from hosts import hosts_for
from penstock_runs import RunTestCase, is_built, mpiexec, program

HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ
HAS_ZLIB = "zlib" in os.environ["PENSTOCK_CODECS"].split(",")


class OutsideAJob(RunTestCase):
    def test_asks_for_a_job(self):
        run = self.command("doctor", "--peers")
        self.assert_code(run, 3)
        self.assertIn("mpirun", run.err)
        self.assertIn("--launch", run.err)

    def test_options_of_the_peers_need_them(self):
        for words in (("--svg", "pairs"), ("--png", "pairs"), ("--together",), ("--launch", "tcp")):
            run = self.command("doctor", *words)
            self.assert_code(run, 2)
            self.assertIn("--peers", run.err)

    def test_a_picture_needs_a_name(self):
        run = self.command("doctor", "--peers", "--png", "")
        self.assert_code(run, 2)
        self.assertIn("--png", run.err)

    @unittest.skipUnless(HAS_ZLIB, "no zlib in this build")
    def test_two_pictures_are_two_files(self):
        run = self.command("doctor", "--peers", "--png", "pairs", "--svg", "pairs")
        self.assert_code(run, 2)
        self.assertIn("same file", run.err)

    @unittest.skipIf(HAS_ZLIB, "this build has zlib")
    def test_a_build_without_zlib_names_the_remedy_before_it_measures(self):
        run = self.command("doctor", "--peers", "--png", self.folder / "pairs.png")
        self.assert_code(run, 3)
        self.assertIn("-DPENSTOCK_ZLIB=ON", run.err)


class PeersTestCase(RunTestCase):
    def start_peers(self, launcher, *words, env=None):
        return self.start_command([*launcher, program(), "doctor", "--peers", "--runs-dir", self.folder, *words], env=env)

    def peers(self, launcher, *words, env=None):
        """The figures by pair, of a job that measures all of them."""
        return self.figures_of(self.start_peers(launcher, "--json", "--seconds", 1, *words, env=env))

    def figures_of(self, run):
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
        pixels = self.folder / "pairs of 2 \n-.png"
        also = ("--png", pixels) if HAS_ZLIB else ()
        run = self.start_peers(mpiexec(2), "--seconds", 0.5, "--svg", picture, *also, env={"LC_ALL": "C"})
        self.assertIn(run.wait(), (0, 1), run.err)

        self.assertRegex(run.out, r"latency in us.*\n +rank +0 +1\r?\n +0 +- +[\d.]+[.:+#@]  \S")
        self.assertIn("measured: 2 over shm", run.out)
        self.assertIn("rank 0 reaches 1 rank over shm (its memory is mapped here: same node)", run.out)
        tags = [element.tag.rpartition("}")[2] for element in xml.etree.ElementTree.parse(picture).iter()]
        self.assertEqual(tags.count("title"), 4)
        if HAS_ZLIB:
            self.assert_png(pixels)

    def assert_png(self, path):
        """Two maps of two cells in their colours, on white."""
        content = path.read_bytes()
        self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", content[16:24])
        self.assertEqual(content[-12:], b"\0\0\0\0IEND\xaeB`\x82")
        at = content.index(b"IDAT")
        size, = struct.unpack(">I", content[at - 4:at])
        rows = zlib.decompress(content[at + 4:at + 4 + size])
        self.assertEqual(len(rows), (width + 1) * height)
        cells = [pixel for pixel in rows if pixel > 1]  # 0 is the paper, 1 is ink
        self.assertGreater(len(cells), 4 * 70 * 70)

    @unittest.skipUnless(HAS_ZLIB, "no zlib in this build")
    def test_a_picture_that_cannot_be_written_is_named_and_the_figures_are_told(self):
        (self.folder / "taken.png").mkdir()
        for name in ("taken.png", "nowhere/pairs.png"):
            run = self.start_peers(mpiexec(2), "--seconds", 0.5, "--png", self.folder / name)
            self.assertEqual(run.wait(), 2, run.err)

            self.assertIn("measured: 2 over shm", run.out)
            self.assertIn(name, run.err)
            self.assertIn("--png", run.err)
        self.assertEqual(list(self.folder.glob("*.new")), [])

    def test_a_job_of_one_rank_has_no_pairs(self):
        hosts, pairs = self.peers(mpiexec(1))

        self.assertEqual((len(hosts), pairs), (1, {}))


class WithoutMpi(PeersTestCase):
    @unittest.skipUnless(HAS_MPI and os.environ.get("PENSTOCK_HAS_PMIX") == "ON",
                         "no PMIx in this build, or no mpirun, which is its server here")
    def test_measures_the_ranks_that_meet_through_pmix(self):
        hosts, pairs = self.peers(mpiexec(2), "--launch", "pmix")

        self.assertEqual((len(hosts), {pair["transport"] for pair in pairs.values()}), (2, {"shm"}))

    def test_measures_the_ranks_that_meet_over_tcp(self):
        ranks = 3
        env = {"PENSTOCK_RANKS": str(ranks), "PENSTOCK_RENDEZVOUS": str(self.folder / "meet")}
        runs = [self.start_peers([], "--launch", "tcp", "--json", "--seconds", 1, env={**env, "PENSTOCK_RANK": str(rank)})
                for rank in range(ranks)]
        hosts, pairs = self.figures_of(runs[0])

        self.assertEqual((len(hosts), {pair["transport"] for pair in pairs.values()}), (ranks, {"shm"}))
        for run in runs[1:]:
            self.assertEqual((run.wait(), run.out), (0, ""), run.err)


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
