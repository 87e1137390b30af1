"""Runs over UCX: on one host, in an MPI job, and between hosts that share no memory."""

import os
import unittest

from hosts import hosts_for
from penstock_runs import DEMO, FAN_OUT, RunTestCase, channel, is_built, line_of, mpiexec, rows_of, stage

HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ


def blobs(**keys):
    """Payloads too large for a frame, handed on by the middle stage."""
    return line_of(stage("source", "pattern", size_bytes="300KiB", count=60), stage("middle", "pass", instances=2),
                   stage("sink", "null"), **keys)


class OneHost(RunTestCase):
    def test_the_demo_writes_the_same_rows(self):
        local = sorted(rows_of(self.run_to_end(DEMO).result()))
        folder = self.run_to_end(DEMO, "--transport", "ucx")

        self.assertTrue(sorted(rows_of(folder.result())) == local, "other rows")
        self.assertRegex("\n".join(folder.messages("coordinator")), "Transport ucx: UCX [0-9.]+")

    def test_fetches_blobs_that_do_not_fit_into_a_frame(self):
        folder = self.run_to_end(blobs(transport="ucx"))

        self.assertEqual(folder.counter("sink", "bytes"), 60 * 300 << 10)

    def test_broadcasts(self):
        self.assert_demo_rows(self.run_to_end(FAN_OUT, "--transport", "ucx").result(), range(100_000), times=2)

    def test_one_channel_asks_for_it(self):
        spec = {"stages": [stage("producer", "records", total_batches=20), stage("middle", "scale_records"),
                           stage("consumer", "csv_sink")],
                "channels": [channel("producer", "middle", transport="ucx"), channel("middle", "consumer")]}

        self.assert_demo_rows(self.run_to_end(spec).result(), range(20_000))

    def test_is_not_set_up_where_nobody_needs_it(self):
        self.assertNotIn("UCX", "\n".join(self.run_to_end(DEMO).messages("coordinator")))

    def test_says_what_is_wrong_when_no_device_notices_a_dead_peer(self):
        _, said = self.run_to_end(DEMO, "--transport", "ucx", env={"UCX_TLS": "posix,self"}, code=3)

        self.assertIn("transport 'ucx' does not work here", said)
        self.assertIn("UCX_TLS", said)


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class MpiJob(RunTestCase):
    def test_the_demo_writes_the_same_rows(self):
        folder = self.run_to_end(DEMO, "--transport", "ucx", launcher=mpiexec(5))

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

    def test_the_demo_takes_shared_memory_on_a_host_and_ucx_between_hosts(self):
        folder = self.run_to_end(DEMO, launcher=self.hosts.mpiexec(5))

        self.assert_demo_rows(folder.result(), range(100_000))
        self.assertEqual(self.transports(folder), ["ucx", "shm", "ucx", "shm"])
        self.assertRegex("\n".join(folder.messages("coordinator")), "over ucx \\(no shared memory: ")

    def test_every_transport_that_leads_there_writes_the_same_rows(self):
        for transport in ("ucx", "mpi"):
            with self.subTest(transport):
                folder = self.run_to_end(DEMO, "--transport", transport, launcher=self.hosts.mpiexec(5))

                self.assert_demo_rows(folder.result(), range(100_000))

    def test_blobs_cross(self):
        for keys in ({}, {"by": "value", "dispatch": "central"}):
            with self.subTest(**keys):
                folder = self.run_to_end(blobs(**keys), launcher=self.hosts.mpiexec(5))

                self.assertEqual(folder.counter("sink", "bytes"), 60 * 300 << 10)

    def test_takes_another_and_says_why_where_ucx_does_not_get_through(self):
        folder = self.run_to_end(DEMO, launcher=self.hosts.mpiexec(5, "-x", "UCX_NET_DEVICES=lo"))

        self.assert_demo_rows(folder.result(), range(100_000))
        between = "ofi" if is_built("ofi") else "mpi"
        self.assertEqual(self.transports(folder), [between, "shm", between, "shm"])
        self.assertRegex("\n".join(folder.messages("coordinator")), "UCX_NET_DEVICES=lo")


if __name__ == "__main__":
    unittest.main()
