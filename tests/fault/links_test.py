"""Links between hosts that are cut, lose packets or hold them back, and hosts that are switched off."""

import contextlib
import os
import re
import shutil
import signal
import time
import unittest

from hosts import hosts_for
from penstock_runs import RunFolder, RunTestCase, is_built, line_of, program, rows_of, stage, wait_until

HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ
RANKS = 5
BATCH = 100
SILENCE_S = 3
LONGEST_END_S = 30
SILENT = re.compile(r"on (h\d) has given no sign of life to \S+ \(rank (\d)\) on (h\d) "
                    rf"for {SILENCE_S} s: the link between the hosts is cut, or (h\d) is down")


def demo(batches=0, interval="10ms", **consumer):
    return line_of(stage("producer", "records", batch_size=BATCH, total_batches=batches, interval=interval),
                   stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink", **consumer))


class Links:
    """Rank r runs on host 1 + r modulo their number."""

    transport = ""

    def start_job(self, hosts, spec, *options, silence=f"{SILENCE_S}s", ranks=RANKS):
        """Starts it without MPI, which cannot be told to end with a host. @return the run of each rank."""
        path = self.write(spec)
        words = [program(), "run", path, "--launch", "tcp", "--transport", self.transport, "--runs-dir", self.runs_dir,
                 "--heartbeat-timeout", silence, *options]
        here = {"PENSTOCK_RANKS": str(ranks), "PENSTOCK_RENDEZVOUS": str(self.folder / f"meet-{len(self.started)}")}
        return [self.start_command(hosts.host_of(rank).words(*words), env={**here, "PENSTOCK_RANK": str(rank)})
                for rank in range(ranks)]

    def processes_of(self, runs):
        """Of the program itself."""
        def is_ours(process):
            with contextlib.suppress(OSError):  # it has ended
                return os.path.samefile(process.proc / "exe", program())
            return False
        return [each for run in runs for each in run.processes() if is_ours(each)]

    def wait_for_payloads(self, runs):
        def are_moving():
            if runs[0].has_ended():
                raise AssertionError(f"the run has ended:\n{runs[0].err}")
            return any(RunFolder(path.parent).channel("processor-consumer", "status.json")["settled"] > 0
                       for path in self.runs_dir.glob("*/status.json"))
        wait_until(are_moving, "payloads move")
        return self.only_folder()

    def end(self, runs):
        """What is left of the run is only what has started it."""
        wait_until(lambda: not self.processes_of(runs), "all ranks have ended", LONGEST_END_S)
        for run in runs:
            run.wait(LONGEST_END_S)

    def assert_complete(self, runs, batches):
        for run in runs:
            self.assert_code(run, 0)
        self.assert_demo_rows(self.only_folder().result(), range(batches * BATCH))

    def assert_ended(self, runs, folder, *hosts):
        """Everywhere, with the link named, which these hosts are ends of, and with all that was settled."""
        self.end(runs)
        error = folder.status["error"]
        self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("failed", 6), error)
        self.assertRegex(error, r"^disconnected: stage '\w+' instance \d \(rank \d\) on h\d has given no")
        silent, _, seen_from, down = SILENT.search(error).groups()
        self.assertEqual(down, silent)
        self.assertNotEqual(silent, seen_from)
        for host in hosts:
            self.assertIn(host, (silent, seen_from))
        self.assertIn(error, runs[0].err)
        rows = rows_of(folder.result())
        self.assertEqual([row for row in rows if row[1] != 3.0 * row[0]][:3], [])
        self.assertEqual(len({row[0] for row in rows}), len(rows))
        self.assertGreaterEqual(len(rows), BATCH * folder.channel("processor-consumer")["settled"])

    def assert_orphans_named_it(self, runs, ranks):
        for rank in ranks:
            self.assertEqual(runs[rank].popen.returncode, 6, runs[rank].err)
            self.assertRegex(runs[rank].err, rf"penstock: coordinator \(rank 0\) on h1 has given no sign of life to "
                                             rf"\S+ \(rank {rank}\) on h\d for {SILENCE_S} s: ")

    def test_host_that_is_switched_off_is_named(self):
        hosts = hosts_for(self, 2)
        runs = self.start_job(hosts, demo())
        folder = self.wait_for_payloads(runs)
        hosts.power_off(2)

        self.assert_ended(runs, folder, "h1", "h2")

    def test_partition_ends_the_run_on_both_sides(self):
        hosts = hosts_for(self, 3)
        runs = self.start_job(hosts, demo())
        folder = self.wait_for_payloads(runs)
        hosts.cut(1)  # the coordinator's

        self.assert_ended(runs, folder, "h1")
        self.assert_orphans_named_it(runs, (1, 2, 4))

    def test_link_that_is_taken_down_at_the_host_is_named(self):
        hosts = hosts_for(self, 2)
        runs = self.start_job(hosts, demo())
        folder = self.wait_for_payloads(runs)
        hosts.all[2].do("ip", "link", "set", "eth0", "down")

        self.assert_ended(runs, folder, "h1", "h2")

    def test_hosts_that_lose_each_other_are_named_though_the_coordinator_reaches_both(self):
        hosts = hosts_for(self, 3)
        runs = self.start_job(hosts, demo())
        folder = self.wait_for_payloads(runs)
        hosts.part(2, 3)

        self.assert_ended(runs, folder, "h2", "h3")

    def test_short_cut_is_outlived(self):
        hosts = hosts_for(self, 2)
        runs = self.start_job(hosts, demo(400), silence="20s")
        self.wait_for_payloads(runs)
        hosts.cut(2)
        time.sleep(2)  # the time is the experiment
        hosts.restore(2)

        self.assert_complete(runs, 400)

    def test_host_whose_part_is_done_may_be_lost(self):
        """Ranks 1 and 3 are there, and exchange nothing with the others."""
        hosts = hosts_for(self, 2)
        lines = [line_of(stage(f"producer-{i}", "records", batch_size=BATCH, total_batches=batches, interval="10ms"),
                         stage(f"consumer-{i}", "csv_sink", output=f"{i}.csv")) for i, batches in ((0, 10), (1, 800))]
        spec = {"stages": [line["stages"][i] for i in (0, 1) for line in lines],
                "channels": [line["channels"][0] for line in lines]}
        runs = self.start_job(hosts, spec)
        self.wait_for_state("running")
        folder = self.only_folder()
        wait_until(lambda: all(each["instances"][0]["state"] == "done" for each in folder.status["stages"]
                               if each["name"].endswith("0")), "one line is done")
        hosts.cut(2)

        self.end(runs)
        self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("completed", 0), runs[0].err)
        self.assert_demo_ids(folder.result("1.csv"), 800)

    def assert_demo_ids(self, path, batches):
        self.assertEqual(sorted(row[0] for row in rows_of(path)), list(range(batches * BATCH)))

    def test_operator_that_computes_for_longer_is_no_silence(self):
        hosts = hosts_for(self, 2)
        spec = line_of(stage("source", "pattern", size_bytes="1KiB", count=3), stage("sink", "null", delay="3s"))
        runs = self.start_job(hosts, spec, silence="2s", ranks=3)

        for run in runs:
            self.assert_code(run, 0)
        self.assertEqual(self.only_folder().counter("sink", "payloads"), 3)

    def test_process_that_is_stopped_for_longer_is_no_silence(self):
        hosts = hosts_for(self, 2)
        runs = self.start_job(hosts, demo(300), silence="2s")
        self.wait_for_payloads(runs)
        stopped = self.processes_of(runs)
        for process in stopped:
            process.kill(signal.SIGSTOP)
        time.sleep(4)  # the time is the experiment
        for process in [each for run in runs for each in run.processes()]:  # nsenter stops with what it has started
            process.kill(signal.SIGCONT)

        self.assert_complete(runs, 300)

    def test_delay_loss_and_reordering_are_outlived(self):
        hosts = hosts_for(self, 2)
        hosts.spoil(loss=0.01, delay_ms=20, jitter_ms=10)
        self.assert_complete(self.start_job(hosts, demo(40), silence="8s"), 40)

        shutil.rmtree(self.runs_dir)
        blobs = line_of(stage("source", "pattern", size_bytes="100KiB", count=10), stage("sink", "null"))
        for run in self.start_job(hosts, blobs, silence="8s", ranks=3):
            self.assert_code(run, 0)
        self.assertEqual(self.only_folder().counter("sink", "bytes"), 10 * 100 << 10)
        _, lost = hosts.count_spoiled()
        self.assertGreater(lost, 0)


@unittest.skipUnless(is_built("ucx"), "no UCX in this build")
class Ucx(Links, RunTestCase):
    transport = "ucx"


@unittest.skipUnless(is_built("ofi"), "no libfabric in this build")
class Ofi(Links, RunTestCase):
    transport = "ofi"


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class Mpi(Links, RunTestCase):
    transport = "mpi"

    def start_job(self, hosts, spec, *options, silence=f"{SILENCE_S}s", ranks=RANKS):
        return [self.start(spec, "--transport", "mpi", "--heartbeat-timeout", silence, *options,
                           launcher=hosts.mpiexec(ranks))]

    def end(self, runs):
        """mpirun waits for its own connections to the other hosts, which may take it a quarter of an hour."""
        wait_until(lambda: not self.processes_of(runs), "all ranks have ended", LONGEST_END_S)
        runs[0].destroy()
        for left in runs[0].scratch.glob("ompi.*"):
            shutil.rmtree(left)

    def assert_orphans_named_it(self, runs, ranks):
        """What they say would come to mpirun over the link."""


if __name__ == "__main__":
    unittest.main()
