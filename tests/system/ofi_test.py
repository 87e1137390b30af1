"""Runs over libfabric: on one host, in an MPI job, and between hosts that share no memory."""

import json
import os
import shutil
import subprocess
import unittest

from hosts import hosts_for
from penstock_runs import DEMO, FAN_OUT, RunTestCase, channel, line_of, mpiexec, rows_of, stage, wait_until

HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ
# As on a device that neither reads nor keeps an order, with few buffers of a packet's length.
NARROW = {"PENSTOCK_OFI_LIMITED": "1"}
ENDLESS = line_of(stage("producer", "records", batch_size=100, total_batches=0, interval="20ms"),
                  stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))


def blobs(count=60, **keys):
    """Payloads too large for a frame, handed on by the middle stage."""
    return line_of(stage("source", "pattern", size_bytes="300KiB", count=count), stage("middle", "pass", instances=2),
                   stage("sink", "null"), **keys)


class OneHost(RunTestCase):
    def test_the_demo_writes_the_same_rows(self):
        local = sorted(rows_of(self.run_to_end(DEMO).result()))
        for env in ({}, NARROW):
            with self.subTest(**env):
                folder = self.run_to_end(DEMO, "--transport", "ofi", env=env)

                self.assertTrue(sorted(rows_of(folder.result())) == local, "other rows")
                self.assertRegex("\n".join(folder.messages("coordinator")),
                                 "Transport ofi: libfabric [0-9.]+, provider [a-z]")

    def test_fetches_blobs_that_do_not_fit_into_a_frame(self):
        for env in ({}, NARROW):
            with self.subTest(**env):
                folder = self.run_to_end(blobs(transport="ofi"), env=env)

                self.assertEqual(folder.counter("sink", "bytes"), 60 * 300 << 10)

    def test_broadcasts(self):
        self.assert_demo_rows(self.run_to_end(FAN_OUT, "--transport", "ofi").result(), range(100_000), times=2)

    def test_one_channel_asks_for_it(self):
        spec = {"stages": [stage("producer", "records", total_batches=20), stage("middle", "scale_records"),
                           stage("consumer", "csv_sink")],
                "channels": [channel("producer", "middle", transport="ofi"), channel("middle", "consumer")]}

        self.assert_demo_rows(self.run_to_end(spec).result(), range(20_000))

    def test_is_not_set_up_where_nobody_needs_it(self):
        self.assertNotIn("libfabric", "\n".join(self.run_to_end(DEMO).messages("coordinator")))

    def test_processes_that_wait_sleep(self):
        """Six seconds in which five processes have next to nothing to do."""
        def cost(batches):
            spec = line_of(stage("producer", "records", batch_size=10, total_batches=batches, interval="1s"),
                           stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))
            run = self.start(spec, "--transport", "ofi")
            self.assert_code(run, 0)
            return run.cpu_seconds()

        self.assertLess(cost(8) - cost(2), 0.05 * 5 * 6)

    def test_says_what_is_wrong_when_the_provider_that_was_asked_for_is_not_here(self):
        _, said = self.run_to_end(DEMO, "--transport", "ofi", env={"PENSTOCK_OFI_PROVIDER": "efa"}, code=3)

        self.assertIn("transport 'ofi' does not work here", said)
        self.assertIn("PENSTOCK_OFI_PROVIDER", said)

    def test_says_what_is_wrong_when_the_device_that_was_asked_for_is_not_here(self):
        _, said = self.run_to_end(DEMO, "--transport", "ofi", env={"PENSTOCK_OFI_DOMAIN": "eth77"}, code=3)

        self.assertIn("no device 'eth77' (PENSTOCK_OFI_DOMAIN)", said)


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class MpiJob(RunTestCase):
    def test_the_demo_writes_the_same_rows(self):
        folder = self.run_to_end(DEMO, "--transport", "ofi", launcher=mpiexec(5))

        self.assert_demo_rows(folder.result(), range(100_000))


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class TwoHosts(RunTestCase):
    def setUp(self):
        super().setUp()
        self.hosts = hosts_for(self, 2)

    def transports(self, folder):
        """By which the coordinator, on the first host, reaches the instances."""
        stages = folder.json("peers/consumer.0.json")["all_stages"]
        return [peer["transport"] for peers in stages.values() for peer in peers]

    def test_the_demo_crosses(self):
        for options in ((), ("-x", "PENSTOCK_OFI_LIMITED=1")):
            with self.subTest(options=options):
                folder = self.run_to_end(DEMO, "--transport", "ofi", launcher=self.hosts.mpiexec(5, *options))

                self.assert_demo_rows(folder.result(), range(100_000))
                self.assertRegex("\n".join(folder.messages("coordinator")), "provider tcp;ofi_rxm, device eth0")

    def test_blobs_cross(self):
        for keys in ({}, {"by": "value", "dispatch": "central"}):
            with self.subTest(**keys):
                folder = self.run_to_end(blobs(**keys), "--transport", "ofi", launcher=self.hosts.mpiexec(5))

                self.assertEqual(folder.counter("sink", "bytes"), 60 * 300 << 10)

    def test_a_killed_peer_is_named(self):
        keep = ("--mca", "orte_enable_recovery", "1")  # Open MPI would end the job itself
        for options in ((), ("-x", "PENSTOCK_OFI_LIMITED=1")):
            with self.subTest(options=options):
                self.runs_dir = self.folder / f"runs-{len(self.started)}"
                run = self.start(ENDLESS, "--transport", "ofi", launcher=self.hosts.mpiexec(5, *keep, *options))
                self.wait_for_state("running")
                # On the other host: the coordinator sees those of its own.
                next(each for each in run.processes() if each.environment.get("OMPI_COMM_WORLD_RANK") == "3").kill()
                wait_until(lambda run=run: "(rank 3)" in run.err or run.has_ended(), "somebody names it", 15)
                run.destroy()
                for left in run.scratch.glob("ompi.*"):  # mpirun's own, which had no time to
                    shutil.rmtree(left)

                self.assertRegex(run.err, r"stage 'processor' instance 1 \(rank 3\) is gone")

    def add_second_network(self):
        """eth1 of both hosts, on a switch of its own."""
        switch = self.hosts.switch
        switch.do("ip", "link", "add", "br1", "type", "bridge")
        switch.do("ip", "link", "set", "br1", "up")
        for number, host in enumerate(self.hosts.all[1:], 1):
            switch.do("ip", "link", "add", f"q{number}", "type", "veth", "peer", "name", "eth1", "netns", host.pid)
            switch.do("ip", "link", "set", f"q{number}", "master", "br1", "up")
            host.do("ip", "address", "add", f"10.99.8.{number}/24", "dev", "eth1")
            host.do("ip", "link", "set", "eth1", "up")

    def received_bytes(self, interface):
        shown = subprocess.run(self.hosts.all[1].words("ip", "-s", "-j", "link", "show", interface),
                               check=True, capture_output=True, text=True).stdout
        return json.loads(shown)[0]["stats64"]["rx"]["bytes"]

    def test_payloads_go_over_both_of_two_networks(self):
        self.add_second_network()
        for options in ((), ("-x", "PENSTOCK_OFI_LIMITED=1"), ("-x", "PENSTOCK_OFI_RAILS=3")):
            with self.subTest(options=options):
                self.runs_dir = self.folder / f"runs-{len(self.started)}"
                before = self.received_bytes("eth1")
                launcher = self.hosts.mpiexec(5, "-x", "PENSTOCK_OFI_DOMAIN=eth0,eth1", *options)
                folder = self.run_to_end(blobs(), "--transport", "ofi", launcher=launcher)

                self.assertEqual(folder.counter("sink", "bytes"), 60 * 300 << 10)
                self.assertRegex("\n".join(folder.messages("coordinator")), r"device eth0, eth1 \([23] rails\)")
                self.assertGreater(self.received_bytes("eth1") - before, 1 << 20)

    def test_a_rail_that_is_cut_is_named(self):
        self.add_second_network()
        run = self.start(blobs(count=10_000_000), "--transport", "ofi",
                         launcher=self.hosts.mpiexec(5, "-x", "PENSTOCK_OFI_DOMAIN=eth0,eth1"))
        self.wait_for_state("running")
        before = self.received_bytes("eth1")
        wait_until(lambda: self.received_bytes("eth1") > before + (1 << 20), "payloads are on the second rail", 20)
        self.hosts.switch.do("ip", "link", "set", "q2", "down")
        wait_until(run.has_ended, "the run ends", 60)

        self.assertRegex(run.err, r"on rail 1 \(eth1\)")

    def test_is_taken_between_hosts_where_ucx_does_not_get_through(self):
        folder = self.run_to_end(DEMO, launcher=self.hosts.mpiexec(5, "-x", "UCX_NET_DEVICES=lo"))

        self.assert_demo_rows(folder.result(), range(100_000))
        self.assertEqual(self.transports(folder), ["ofi", "shm", "ofi", "shm"])
        self.assertRegex("\n".join(folder.messages("coordinator")), "over ofi \\(no shared memory: ")

    def test_gives_way_to_mpi_where_neither_gets_through(self):
        folder = self.run_to_end(DEMO, launcher=self.hosts.mpiexec(5, "-x", "UCX_NET_DEVICES=lo",
                                                                   "-x", "PENSTOCK_OFI_DOMAIN=lo"))

        self.assert_demo_rows(folder.result(), range(100_000))
        self.assertEqual(self.transports(folder), ["mpi", "shm", "mpi", "shm"])
        self.assertRegex("\n".join(folder.messages("coordinator")), "PENSTOCK_OFI_DOMAIN")


if __name__ == "__main__":
    unittest.main()
