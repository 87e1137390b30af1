"""Jobs of a real Slurm: a cluster of four nodes on this machine, brought up for these tests."""

import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from penstock_runs import (DEMO, SOURCE, RunFolder, RunTestCase, line_of, program, program_with_faults, stage,
                           wait_until)

SKIPPED = 77
CLUSTER = pathlib.Path(__file__).with_name("cluster")
LONGEST_JOB_S = 90  # slurmctld looks at time limits only twice a minute
ENDLESS = line_of(stage("producer", "records", batch_size=100, total_batches=0, interval="1ms"),
                  stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))
SHORT = ["--set", "producer.total_batches=10"]
TERMINATED = 128 + signal.SIGTERM
WARNED = 128 + signal.SIGUSR1
EXHAUSTED = 4
GONE = 6
HAS_HDF5 = os.environ.get("PENSTOCK_HAS_HDF5") == "1"
HAS_HDF5_MPI = os.environ.get("PENSTOCK_HAS_HDF5_MPI") == "1"


def missing():
    """Why there can be no cluster here; empty if there can."""
    if os.geteuid() != 0:
        return "only root can make the nodes of a Slurm cluster"
    tools = [name for name in ("slurmctld", "slurmd", "munged", "srun", "ip", "unshare") if not shutil.which(name)]
    return f"there is no {', '.join(tools)}; install slurm-wlm, munge and iproute2" if tools else ""


class Cluster:
    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-slurm-"))
        self.folder.chmod(0o755)

    def start(self):
        said = ""
        for _ in range(5):  # others on this machine may have theirs
            port = 17000 + 100 * random.randrange(1, 240)
            made = subprocess.run([CLUSTER, "start", self.folder, "4", "4", str(port)], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, timeout=60)
            if made.returncode == 0:
                os.environ["SLURM_CONF"] = str(self.folder / "etc" / "slurm.conf")
                return
            said = made.stderr
            if "is taken" not in said:
                break
        self.stop()
        raise AssertionError(f"no cluster: {said}")

    def stop(self):
        subprocess.run([CLUSTER, "stop", self.folder], timeout=60, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def setUpModule():
    # Debian's Open MPI 4.1.4 crashes at times in its own shared memory, with several ranks on one of these nodes.
    os.environ.setdefault("OMPI_MCA_btl", "self,tcp")
    cluster = Cluster()
    unittest.addModuleCleanup(cluster.stop)
    cluster.start()


def slurm(*words):
    """What a command of Slurm answers."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def state_of(job):
    return slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")


class SlurmTestCase(RunTestCase):
    def setUp(self):
        super().setUp()
        self.jobs = []
        # On a busy machine proctrack/linuxproc at times does not see the end of a script that was killed, and Slurm sets
        # the node aside. No test is about that, and the others would wait for the node for ever.
        for line in slurm("sinfo", "-h", "-R", "-o", "%N %E").splitlines():
            nodes, reason = line.split(maxsplit=1)
            if reason == "Kill task failed":
                print(f"{self.id()}: Slurm had set {nodes} aside: {reason}", file=sys.stderr)
                slurm("scontrol", "update", f"nodename={nodes}", "state=resume")

    def tearDown(self):
        for job in self.jobs:
            subprocess.run(["scancel", job], check=False, stderr=subprocess.DEVNULL)
        for job in self.jobs:
            wait_until(lambda: state_of(job) not in ("RUNNING", "PENDING", "COMPLETING"), f"job {job} is over")
        super().tearDown()

    def launch(self, pipeline, *options):
        """Submits. @return the process of the command."""
        path = self.write(pipeline) if isinstance(pipeline, dict) else pipeline
        return self.start_command([program(), "launch", path, "--runs-dir", self.runs_dir, "--no-progress", "-o",
                                   self.folder / "job-%j.out", *options])

    def submit(self, pipeline, *options):
        """@return the id of the job."""
        run = self.launch(pipeline, *options)
        self.assert_code(run, 0)
        self.assertRegex(run.out, r"^\d+\n$")
        self.jobs.append(run.out.strip())
        return self.jobs[-1]

    def launch_to_end(self, pipeline, *options, code=0):
        run = self.launch(pipeline, "--wait", *options)
        run.wait(LONGEST_JOB_S)
        self.assertRegex(run.out, r"^\d+\n$", run.err)
        self.jobs.append(run.out.strip())
        self.assertEqual(run.popen.returncode, code, run.err + self.output_of(self.jobs[-1]))
        return run

    def script(self, text, *options):
        """Submits a script of the user's own."""
        path = self.folder / "job.sh"
        path.write_text(f"#!/bin/bash\n{text}\n")
        self.jobs.append(slurm("sbatch", "--parsable", "-o", self.folder / "job-%j.out", *options, path))
        return self.jobs[-1]

    def wait_for_job(self, job, state):
        wait_until(lambda: state_of(job) == state, f"job {job} is {state}: {state_of(job)}", LONGEST_JOB_S)

    def output_of(self, job):
        path = self.folder / f"job-{job}.out"
        return path.read_text(errors="replace") if path.exists() else f"no {path}"

    def folder_of_job(self, job, restart=None):
        """The run directory of a job, as soon as there is one."""
        def find():
            for path in self.runs_dir.glob("*/run.json"):
                about = json.loads(path.read_text())
                if about["slurm_job_id"] == job and restart in (None, about.get("slurm_restart", 0)):
                    return RunFolder(path.parent)
            return None
        try:
            return wait_until(find, f"there is a run of job {job}", LONGEST_JOB_S)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.output_of(job)}\n{slurm('scontrol', 'show', 'job', job)}\n"
                                 f"{slurm('sinfo', '-N', '-l')}") from None

    def wait_for_rows(self, folder):
        wait_until(lambda: folder.result().exists() and folder.result().stat().st_size > 1000, "there are results")

    def task(self, rank):
        """The process of a rank, seen from outside of the nodes."""
        found = [each for run in self.started for each in run.processes()
                 if each.environment.get("PMIX_RANK") == str(rank) and b"penstock" in each.label.encode()]
        return found[0]

    def assert_drained(self, folder, number):
        self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("cancelled", 128 + number))
        self.assert_demo_rows(folder.result(), range(folder.counter("producer", "records")))

    def requeue(self, job):
        """@return the run directories of the first attempt and of the second one, which goes on."""
        first = self.folder_of_job(job, restart=0)
        self.wait_for_rows(first)
        slurm("scontrol", "requeue", job)
        again = self.folder_of_job(job, restart=1)
        self.wait_for_rows(again)
        self.assertNotEqual(first.path, again.path)
        return first, again


class Launched(SlurmTestCase):
    def test_streams_the_demo_between_nodes_and_prints_only_the_id_of_the_job(self):
        run = self.launch_to_end(DEMO, "-N", "3")
        folder = self.folder_of_job(run.out.strip())

        self.assert_demo_rows(folder.result(), range(100_000))
        peers = folder.json("peers/consumer.0.json")["all_stages"]
        self.assertEqual({peer["node"] for all_of in peers.values() for peer in all_of}, {"n1", "n2", "n3"})
        self.assertIn(f"job {run.out.strip()}: the run is completed, exit code 0", run.err)

    def test_finds_its_run_by_the_id_of_the_job(self):
        job = self.launch_to_end(DEMO, *SHORT).out.strip()
        status = self.command("status", job, "--runs-dir", self.runs_dir, "--json")

        self.assertEqual(status.popen.returncode, 0, status.err)
        self.assertEqual(json.loads(status.out)["slurm_job_id"], job)
        code = self.command("status", job, "--runs-dir", self.runs_dir, "--exit-code")
        self.assertEqual((code.out, code.popen.returncode), ("0\n", 0))

    def test_has_two_jobs_at_once(self):
        jobs = [self.submit(DEMO, *SHORT) for _ in range(2)]
        for job in jobs:
            self.wait_for_job(job, "COMPLETED")
        folders = [self.folder_of_job(job) for job in jobs]

        self.assertNotEqual(folders[0].path, folders[1].path)
        for folder in folders:
            self.assert_demo_rows(folder.result(), range(10_000))

    def test_takes_names_with_every_character(self):
        odd = self.folder / "a 'b' \"c\" $(touch x) \\ # %j"
        odd.mkdir()
        shutil.copy(DEMO, odd / "the demo.json")
        run = self.launch_to_end(odd / "the demo.json", *SHORT, "--set", "consumer.output=b 'c' $d.csv", "-J",
                                 "a \"b\" \\c # d")

        folder = self.folder_of_job(run.out.strip())
        self.assert_demo_rows(folder.result("b 'c' $d.csv"), range(10_000))
        self.assertEqual(slurm("squeue", "-h", "-t", "all", "-j", run.out.strip(), "-o", "%j"), "a \"b\" \\c # d")

    def test_runs_with_processes_of_its_own_in_one_task(self):
        run = self.launch_to_end(DEMO, *SHORT, "--launch", "local", "--set", "processor.instances=1")
        folder = self.folder_of_job(run.out.strip())
        self.assert_demo_rows(folder.result(), range(10_000))
        self.assertIn("Launched by: local processes", folder.messages("coordinator"))

    def test_after_another_job_that_succeeds_or_never(self):
        failing = line_of(stage("in", "file_source", input="no-such-file"), stage("out", "null"))
        first = self.submit(failing)
        after = self.launch(DEMO, "--wait", *SHORT, "-d", f"afterok:{first}")
        self.assert_code(after, TERMINATED)
        self.jobs.append(after.out.strip())
        self.assertEqual(state_of(after.out.strip()), "CANCELLED")
        self.assertEqual(state_of(first), "FAILED")

        second = self.submit(DEMO, *SHORT)
        self.launch_to_end(DEMO, *SHORT, "-d", f"afterok:{second}")
        self.assertEqual(state_of(second), "COMPLETED")

    def test_says_with_the_words_of_slurm_why_it_does_not_start(self):
        run = self.launch(DEMO, "-p", "nowhere")
        self.assert_code(run, 2)
        self.assertIn("sbatch refuses the job: invalid partition specified: nowhere", run.err)
        self.assertEqual(run.out, "")

    def test_explains_itself_without_a_job(self):
        run = self.launch(DEMO, "-N", "2", "--ntasks-per-node", "3", "--dry-run")
        self.assert_code(run, 0)
        self.assertRegex(run.out, r"4 +consumer\.0 +csv_sink +2\n")
        self.assertRegex(run.out, r"\nSlurm: Job \d+ to start at \S+ using \d+ processors on nodes n\[1-2\]")
        self.assertEqual(slurm("squeue", "-h", "-n", "streaming-demo"), "")

    @unittest.skipUnless(HAS_HDF5_MPI, "penstock has no parallel HDF5 here")
    def test_writes_one_file_from_two_nodes(self):
        import h5py
        spec = line_of(stage("source", "vector", count=40, elements=512), stage("writer", "hdf5_sink", 2, shared=True))
        run = self.launch_to_end(spec, "-N", "3", "--ntasks-per-node", "2", "--set", "source.instances=2")
        folder = self.folder_of_job(run.out.strip())
        self.assertEqual([path.name for path in folder.result("").iterdir()], ["results.h5"])
        nodes = {peer["node"] for peer in folder.json("peers/source.0.json")["all_stages"]["writer"]}
        with h5py.File(folder.result("results.h5"), "r") as file:
            self.assertEqual(len(file["data_payloads"]), 80)
            self.assertEqual(file.attrs["complete"], 1)
        self.assertEqual(folder.counter("writer", "payloads"), 80)
        self.assertEqual(nodes, {"n2", "n3"})

    def test_passes_the_exit_code_of_the_run_on(self):
        failing = line_of(stage("in", "file_source", input="no-such-file"), stage("out", "null"))
        run = self.launch_to_end(failing, code=2)
        self.assertIn("no-such-file", run.err)

    def test_waits_no_longer_than_it_is_told_and_leaves_the_job(self):
        run = self.launch(ENDLESS, "--wait", "--wait-timeout", "1s")
        self.assert_code(run, 5)
        job = run.out.strip()
        self.jobs.append(job)
        self.assertRegex(run.err, f"timed out: job {job} is (RUNNING|PENDING).* after 1 s; it goes on")
        self.assertIn(state_of(job), ("PENDING", "RUNNING"))


def placed(spec, **placements):
    """The pipeline with those placements of its stages."""
    stages = [{**each, **({"placement": placements[each["name"]]} if each["name"] in placements else {})}
              for each in spec["stages"]]
    return {**spec, "stages": stages}


WIDE = line_of(stage("producer", "records", 2, batch_size=10, total_batches=20), stage("processor", "scale_records", 6),
               stage("consumer", "null", 3))


class Placed(SlurmTestCase):
    def nodes_of(self, folder, name):
        """Where the instances of a stage are, by what they themselves have said of it."""
        peers = folder.json("peers/producer.0.json")["all_stages"][name]
        return [peer["node"] for peer in sorted(peers, key=lambda each: each["index"])]

    def run_placed(self, spec, *options):
        run = self.launch_to_end(spec, *options)
        folder = self.folder_of_job(run.out.strip())
        self.assertIn("All stages are placed as they ask", folder.messages("coordinator"))
        return folder

    def test_spread_and_with_and_pack(self):
        spec = placed(WIDE, producer="spread", processor={"with": "producer"}, consumer="pack")
        folder = self.run_placed(spec, "-N", "3", "--ntasks-per-node", "4")

        producers, processors = self.nodes_of(folder, "producer"), self.nodes_of(folder, "processor")
        self.assertEqual(len(set(producers)), 2)
        self.assertEqual(processors, producers * 3)
        self.assertEqual(len(set(self.nodes_of(folder, "consumer"))), 1)

    def test_so_many_on_each_node(self):
        spec = placed(WIDE, processor={"per_node": 2}, consumer="spread")
        folder = self.run_placed(spec, "-N", "4", "--ntasks-per-node", "4")

        self.assertEqual(self.nodes_of(folder, "processor"), ["n1", "n1", "n2", "n2", "n3", "n3"])
        self.assertEqual(len(set(self.nodes_of(folder, "consumer"))), 3)

    def test_as_the_dry_run_says(self):
        spec = placed(WIDE, producer={"with": "consumer"}, processor="spread", consumer="spread")
        said = self.launch(spec, "-N", "4", "--dry-run")
        self.assert_code(said, 0)
        folder = self.run_placed(spec, "-N", "4")

        told = dict(re.findall(r"(?m)^\d+ +(\S+\.\d+) +\S+ +(\d+) ", said.out))
        self.assertEqual(len(told), 11)
        for name in ("producer", "processor", "consumer"):
            for instance, node in enumerate(self.nodes_of(folder, name)):
                self.assertEqual(node, f"n{told[f'{name}.{instance}']}", said.out)
        self.assertRegex(said.out, r"(?m)^2 +producer\.1 .*with consumer\.1$")

    def test_on_nodes_that_are_not_there_is_refused(self):
        spec = placed(WIDE, processor={"per_node": 1})
        for options, words in ((["-N", "4"], "for which it takes 6 nodes, not 4"), ([], "say it with --nodes N"),
                               (["-N", "2-4"], "say it with --nodes N"),
                               (["-N", "6", "--ntasks-per-node", "1"], "12 ranks, and 6 nodes with room for 6 in all")):
            run = self.launch(spec, *options)
            self.assert_code(run, 2)
            self.assertIn(words, run.err)

    def test_in_another_way_than_srun_does_it_is_a_warning(self):
        spec = placed(WIDE, processor="pack")
        words = subprocess.list2cmdline([program(), "run", str(self.write(spec)), "--runs-dir", str(self.runs_dir)])
        job = self.script(f"srun --mpi=pmix -m cyclic {words}", "-n", "12", "-N", "4", "--ntasks-per-node", "3")
        wait_until(lambda: state_of(job) in ("COMPLETED", "FAILED"), "the end of the job", LONGEST_JOB_S)
        self.assertEqual(state_of(job), "COMPLETED", self.output_of(job))
        warned = [entry["message"] for entry in self.folder_of_job(job).log("coordinator")
                  if entry["level"].startswith("warn")]
        self.assertRegex(warned[0], '^stage "processor" is to be placed "pack", but has 2 on n1, 1 on n2, 1 on n3, 2 on n4;')


TWO_PHASES = SOURCE / "jobs" / "two-phases.json"


class Chained(SlurmTestCase):
    """A job for each phase of a pipeline."""

    def launch_chain(self, *options, code=0, pipeline=TWO_PHASES):
        """@return what the launch said, and the ids of the two jobs."""
        run = self.launch(pipeline, *options)
        run.wait(2 * LONGEST_JOB_S)
        self.assertRegex(run.out, r"^\d+\n\d+\n$", run.err)
        self.jobs += run.out.split()
        said = "".join(self.output_of(job) for job in self.jobs)
        self.assertEqual(run.popen.returncode, code, run.err + said)
        return run, self.jobs[-2], self.jobs[-1]

    def test_runs_the_second_phase_with_the_results_of_the_first(self):
        run, first, second = self.launch_chain("--wait", "--set", "scale.instances=1")

        made, read = self.folder_of_job(first), self.folder_of_job(second)
        self.assert_demo_rows(made.result("records.csv"), range(100_000))
        self.assertEqual(read.counter("read", "records"), 100_000)
        self.assertEqual(read.json("run.json")["phase"],
                         {"name": "read", "number": 2, "of": 2, "runs": {"make": str(made.path)}})
        self.assertEqual([folder.json("run.json")["processes"] for folder in (made, read)], [4, 5])
        for job, tasks in ((first, 4), (second, 5)):
            self.assertIn(f"NumTasks={tasks} ", slurm("scontrol", "show", "job", job))
        self.assertEqual(slurm("squeue", "-h", "-t", "all", "-j", second, "-o", "%j"), "two-phases-read")
        self.assertRegex(run.err, f"job {first}: the run is completed, exit code 0; .*\n"
                                  f"job {second}: the run is completed, exit code 0; ")

    def test_waits_in_the_queue_for_the_phase_before(self):
        _, first, second = self.launch_chain("--set", "make.total_batches=0", "--set", "make.interval=1ms")
        self.folder_of_job(first)

        self.assertEqual(state_of(second), "PENDING")
        self.assertIn(f"Dependency=afterok:{first}", slurm("scontrol", "show", "job", second))
        self.assertRegex(slurm("scontrol", "show", "job", second), "KillOInInvalidDependent=Yes|KillOInvDependent=Yes")

    def test_ends_with_the_code_of_the_phase_that_fails(self):
        failing = json.loads(TWO_PHASES.read_text())
        failing["stages"][0] = stage("make", "file_source", input="no-such-file")
        del failing["stages"][1]
        failing["channels"][:2] = [{"from": "make", "to": "write"}]
        failing["stages"][1]["operator"], failing["stages"][1]["params"] = "file_sink", {"output": "records.csv"}
        run, first, second = self.launch_chain("--wait", code=2, pipeline=failing)

        self.assertIn("no-such-file", run.err)
        self.assertIn(f"job {second}: phase read is not started, as phase make has not succeeded", run.err)
        self.assertEqual([state_of(first), state_of(second)], ["FAILED", "CANCELLED"])
        self.assertEqual(len(list(self.runs_dir.iterdir())), 1)

    def test_ends_when_a_phase_is_cancelled(self):
        _, first, second = self.launch_chain("--set", "make.total_batches=0", "--set", "make.interval=1ms")
        folder = self.folder_of_job(first)
        wait_until(lambda: folder.result("records.csv").exists(), "there are results")
        self.assert_code(self.command("cancel", first, "--runs-dir", self.runs_dir), 0)

        self.wait_for_job(first, "FAILED")
        self.wait_for_job(second, "CANCELLED")
        self.assertEqual(folder.status["exit_code"], TERMINATED)

    def test_runs_a_later_phase_again_with_the_results_of_an_earlier_job(self):
        _, first, _ = self.launch_chain("--wait")
        again = self.launch_to_end(TWO_PHASES, "--phase", "read", "--earlier", f"make={first}", "--set",
                                   "reduce.bins=10")
        rows = self.folder_of_job(again.out.strip()).result("spectrum.csv").read_text().splitlines()
        self.assertEqual(len(rows), 1 + 2 + 10)

    def test_explains_itself_without_a_job(self):
        run = self.launch(TWO_PHASES, "--dry-run")
        self.assert_code(run, 0)
        self.assertEqual(len(re.findall(r"^Slurm: Job \d+ to start at", run.out, re.MULTILINE)), 2, run.out)
        self.assertRegex(run.out, r"# ==== JOB2: phase read \(2 of 2\), after make; .*====\n#!/bin/bash\n")
        self.assertEqual(slurm("squeue", "-h", "-n", "two-phases-make,two-phases-read"), "")


def probes(instances, placement=None):
    """Writes of each of the instances for GPUs, on nodes that have two each, which it sees."""
    probe = {**stage("probe", "gpu_probe", instances), "device": "gpu", **({"placement": placement} if placement else {})}
    return line_of(stage("producer", "vector", count=6, elements=4), probe, stage("consumer", "null"))


class Gpus(SlurmTestCase):
    def launch(self, pipeline, *options):
        path = self.write(pipeline)
        return self.start_command([program(), "launch", path, "--program", program_with_faults(), "--runs-dir", self.runs_dir,
                                   "-o", self.folder / "job-%j.out", *options])

    def gpus_of(self, folder):
        """(node, GPU) of each instance: what the run has noted, which is what the operator has seen."""
        peers = sorted(folder.json("peers/probe.0.json")["stage_peers"], key=lambda each: each["index"])
        for peer in peers:
            seen = json.loads(next(folder.result("").glob(f"probe.{peer['index']}*.json")).read_text())
            self.assertEqual((seen["CUDA_VISIBLE_DEVICES"], seen["has_gpu"]), (peer["gpu"], True))
        return [(peer["node"], peer["gpu"]) for peer in peers]

    def test_are_asked_for_and_each_instance_gets_one_of_its_own(self):
        run = self.launch_to_end(probes(2, "pack"), "-N", "2")
        self.assert_two_of_a_node(run)

    def test_of_two_nodes_by_placement(self):
        run = self.launch_to_end(probes(4, {"per_node": 2}), "-N", "2")
        self.assertEqual(self.gpus_of(self.folder_of_job(run.out.strip())),
                         [("n3", "0"), ("n3", "1"), ("n4", "0"), ("n4", "1")])

    def assert_two_of_a_node(self, run):
        (first, one), (second, two) = self.gpus_of(self.folder_of_job(run.out.strip()))
        self.assertEqual((first, one, two), (second, "0", "1"))
        self.assertIn(first, ("n3", "n4"))

    def test_without_mpi(self):
        self.assert_two_of_a_node(self.launch_to_end(probes(2, "pack"), "-N", "2", "--launch", "tcp"))

    def test_that_slurm_gives_each_task_are_theirs(self):
        run = self.launch_to_end(probes(1), "-N", "2", "--launch", "tcp", "--sbatch", "gpus-per-task=1")
        self.assertEqual(len(self.gpus_of(self.folder_of_job(run.out.strip()))), 1)

    def test_too_few_of_them_end_the_run_with_the_node(self):
        run = self.launch_to_end(probes(2, "pack"), "-N", "2", "--sbatch", "gpus-per-node=1", code=EXHAUSTED)
        self.assertRegex(run.err, r'on node n[34], stage "probe" \(2 instances\) needs 2 GPUs, one for each instance, and this run '
                                  r"has 1 GPU \(CUDA_VISIBLE_DEVICES=0\) there")

    def test_more_than_a_node_has_are_refused_by_slurm_and_the_number_is_said(self):
        run = self.launch(probes(3), "-N", "2")
        self.assert_code(run, 2)
        self.assertIn("asking for 3 GPUs on each node", run.err)
        self.assertIn("Requested node configuration is not available", run.err)


class Kinds(SlurmTestCase):
    """Nodes n1 and n2 have the feature "cpu", n3 and n4 "gpu" and the partition "accel"."""

    def tearDown(self):
        for job in self.jobs:
            subprocess.run(["scancel", job], check=False, stderr=subprocess.DEVNULL)
        for job in self.jobs:
            wait_until(lambda: set(state_of(job).split()).isdisjoint({"RUNNING", "PENDING", "COMPLETING"}),  # noqa: B023
                       f"job {job} is over", LONGEST_JOB_S)
        self.jobs = []
        super().tearDown()

    def nodes_of(self, folder):
        stages = folder.json("peers/producer.0.json")["all_stages"]
        return {name: sorted({peer["node"] for peer in peers}) for name, peers in stages.items()}

    def test_of_several_stages_are_one_job_without_mpi(self):
        spec = placed(WIDE, processor={"constraint": "gpu"})
        folder = self.folder_of_job(self.launch_to_end(spec, "-C", "cpu").out.strip())

        nodes = self.nodes_of(folder)
        self.assertLessEqual(set(nodes["producer"] + nodes["consumer"]), {"n1", "n2"})
        self.assertLessEqual(set(nodes["processor"]), {"n3", "n4"})
        self.assertIn("Launched by: TCP rendezvous, without MPI", folder.messages("coordinator"))
        self.assertEqual(folder.channel("processor-consumer")["delivered"], 20)

    def test_may_come_in_any_order(self):
        folder = self.folder_of_job(self.launch_to_end(placed(WIDE, processor={"constraint": "cpu"}), "-C", "gpu").out.strip())
        nodes = self.nodes_of(folder)
        self.assertLess(max(nodes["processor"]), min(nodes["producer"] + nodes["consumer"]))

    def test_by_partition_with_so_many_on_each_node(self):
        spec = placed(WIDE, processor={"partition": "accel", "per_node": 3})
        job = self.launch_to_end(spec, "-C", "cpu").out.strip()
        folder = self.folder_of_job(job)

        peers = sorted(folder.json("peers/processor.0.json")["stage_peers"], key=lambda each: each["index"])
        self.assertEqual([peer["node"] for peer in peers], ["n3"] * 3 + ["n4"] * 3)
        self.assertEqual(sorted(slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%P").split()), ["accel", "main"])
        self.assertIn("All stages are placed as they ask", folder.messages("coordinator"))

    def test_with_gpus_for_the_part_that_needs_them(self):
        spec = probes(4, {"constraint": "gpu", "per_node": 2})
        path = self.write(spec)
        run = self.start_command([program(), "launch", path, "--program", program_with_faults(), "--runs-dir", self.runs_dir,
                                  "-C", "cpu", "--wait", "-o", self.folder / "job-%j.out"])
        run.wait(LONGEST_JOB_S)
        self.jobs.append(run.out.strip())
        self.assertEqual(run.popen.returncode, 0, run.err + self.output_of(self.jobs[-1]))

        peers = sorted(self.folder_of_job(self.jobs[-1]).json("peers/probe.0.json")["stage_peers"],
                       key=lambda each: each["index"])
        self.assertEqual([(peer["node"], peer["gpu"]) for peer in peers],
                         [("n3", "0"), ("n3", "1"), ("n4", "0"), ("n4", "1")])

    def test_end_as_the_run_does_and_by_cancel_and_can_be_looked_at(self):
        failing = placed(line_of(stage("in", "file_source", input="no-such-file"), stage("out", "null")),
                         out={"constraint": "gpu"})
        self.launch_to_end(failing, code=2)

        job = self.submit(placed(ENDLESS, processor={"constraint": "gpu"}))
        folder = self.folder_of_job(job)
        self.wait_for_rows(folder)
        for name in ("processor", "consumer"):
            peer = folder.json(f"peers/{name}.0.json")["stage_peers"][0]
            run = self.command("exec", "--runs-dir", self.runs_dir, "--stage", name, job, "--", "hostname")
            self.assertEqual((run.out, run.popen.returncode), (peer["node"] + "\n", 0), run.err)
        self.assert_code(self.command("cancel", job, "--runs-dir", self.runs_dir), 0)
        wait_until(lambda: set(state_of(job).split()) == {"FAILED"}, "the end of both parts", LONGEST_JOB_S)
        self.assert_drained(folder, signal.SIGTERM)

    def test_start_again_together_by_a_requeue(self):
        job = self.submit(placed(ENDLESS, processor={"constraint": "gpu"}))
        _, again = self.requeue(job)

        self.assertTrue(set(self.nodes_of(again)["processor"]) <= {"n3", "n4"})
        self.assert_code(self.command("cancel", job, "--runs-dir", self.runs_dir), 0)
        self.assert_drained(again, signal.SIGTERM)

    def test_are_explained_by_slurm_too(self):
        run = self.launch(placed(WIDE, processor={"constraint": "gpu"}), "--dry-run")
        self.assert_code(run, 0)
        self.assertIn("  1: ranks 6 to 11 on nodes: constraint gpu\n", run.out)
        self.assertRegex(run.out, r"\nSlurm: ")


class Stopped(SlurmTestCase):
    def test_by_penstock_cancel_drains(self):
        job = self.submit(ENDLESS, "-N", "2")
        folder = self.folder_of_job(job)
        self.wait_for_rows(folder)
        stop = self.command("cancel", job, "--runs-dir", self.runs_dir)

        self.assertEqual(stop.popen.returncode, 0, stop.err)
        self.assert_drained(folder, signal.SIGTERM)
        self.wait_for_job(job, "FAILED")

    def test_by_scancel_drains(self):
        job = self.submit(ENDLESS, "-N", "2")
        folder = self.folder_of_job(job)
        self.wait_for_rows(folder)
        slurm("scancel", job)

        self.wait_for_job(job, "CANCELLED")
        self.assert_drained(folder, signal.SIGTERM)

    def test_before_its_time_limit_drains(self):
        # A minute is the shortest limit there is; before the ranks are up, the warning would kill them.
        run = self.launch_to_end(ENDLESS, "-t", "1", "--drain-time", "45s", code=WARNED)
        job = run.out.strip()
        self.assert_drained(self.folder_of_job(job), signal.SIGUSR1)
        self.assertIn("penstock launch: the time limit was near", self.output_of(job))

    def kill_rank(self, rank, *options):
        """@return the job, and the run as it is listed."""
        waiting = self.launch(ENDLESS, "--wait", *options)
        wait_until(lambda: waiting.out.endswith("\n"), "the id of the job")
        self.jobs.append(waiting.out.strip())
        job = self.jobs[-1]
        self.wait_for_rows(self.folder_of_job(job))
        self.task(rank).kill()
        self.assert_code(waiting, GONE, LONGEST_JOB_S)
        self.wait_for_job(job, "FAILED")
        listed = json.loads(self.command("list", "--json", "--runs-dir", self.runs_dir).out)
        return job, next(each for each in listed if each["slurm_job_id"] == job)

    ALONE = ["--set", "processor.instances=1", "-N", "4", "--ntasks-per-node", "1"]

    def test_by_the_death_of_a_rank_of_another_node_fails(self):
        job, run = self.kill_rank(3, *self.ALONE)
        self.assertEqual(run["state"], "failed")
        # Its process is missed, or its connection over UCX, whichever is seen first.
        self.assertRegex(self.folder_of_job(job).status["error"],
                         r"^disconnected: (stage 'consumer' instance 0 \(rank 3\) is gone: its process ended without a word"
                         r"|lost consumer\.0( on \S+)?: its connection broke)")

    def test_by_the_death_of_a_rank_beside_another_ends_by_slurm_if_not_by_itself(self):
        job, run = self.kill_rank(3, "-N", "3", "--ntasks-per-node", "2")
        if run["state"] != "failed":
            self.assertEqual(run["state"], "lost")
            self.assertIn(f"its Slurm job {job} has ended (FAILED)", run["note"])

    def test_by_the_death_of_the_coordinator_is_lost(self):
        for options in (["-N", "2"], self.ALONE):
            job, run = self.kill_rank(0, *options)
            self.assertEqual(run["state"], "lost")
            self.assertIn("by its run directory the run ended with 6", self.output_of(job))

    def test_by_a_requeue_starts_again_beside_what_it_left(self):
        job = self.submit(ENDLESS, "-N", "2")
        first, again = self.requeue(job)

        self.assertIn(f"restart 1 of job {job}: the pipeline starts from its beginning", self.output_of(job))
        old = json.loads(self.command("status", first.path, "--json").out)
        self.assertIn(old["state"], ("cancelled", "lost"))
        now = json.loads(self.command("status", job, "--runs-dir", self.runs_dir, "--json").out)
        self.assertEqual((now["path"], now["state"]), (str(again.path), "running"))


    def test_by_a_requeue_is_not_taken_for_the_attempt_before(self):
        path = self.folder / "gone.json"
        path.write_text(json.dumps(line_of(stage("producer", "records", total_batches=2), stage("consumer", "csv_sink"))))
        job = self.submit(path)
        self.wait_for_job(job, "COMPLETED")
        path.unlink()
        slurm("scontrol", "requeue", job)

        self.wait_for_job(job, "FAILED")
        self.assertNotIn("by its run directory", self.output_of(job))


class Broken(SlurmTestCase):
    """Nodes that are lost, or do not see what others see."""

    TWO_NODES = ["-N", "2", "--sbatch", "nodelist=n[1-2]"]

    def cluster(self, command, *words):
        subprocess.run([CLUSTER, command, pathlib.Path(os.environ["SLURM_CONF"]).parents[1], *words], check=True,
                       timeout=30)

    def break_for_a_while(self, command, node, repair):
        def mend():
            self.cluster(repair, node)
            wait_until(lambda: slurm("sinfo", "-h", "-t", "idle", "-o", "%D") == "4", "all nodes are idle", LONGEST_JOB_S)
        self.cluster(command, node)
        self.addCleanup(mend)

    def hide(self, path, *nodes):
        """Lets these nodes see an empty folder there."""
        path.mkdir(exist_ok=True)
        for node in nodes:
            self.cluster("in-node", node, "mount", "-t", "tmpfs", "tmpfs", path)
            self.addCleanup(self.cluster, "in-node", node, "umount", path)

    def test_by_a_node_that_is_lost_a_run_fails_and_names_a_rank(self):
        waiting = self.launch(ENDLESS, "--wait", *self.TWO_NODES)
        wait_until(lambda: waiting.out.endswith("\n"), "the id of the job")
        self.jobs.append(waiting.out.strip())
        folder = self.folder_of_job(self.jobs[-1])
        self.wait_for_rows(folder)
        self.break_for_a_while("kill-node", "n2", "start-node")

        self.assert_code(waiting, GONE, LONGEST_JOB_S)
        self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("failed", GONE))
        self.assertRegex(folder.status["error"], r"^disconnected: (stage 'consumer' instance 0 \(rank 4\) (is gone|on \S+ has given no sign of life)"
                         r"|lost consumer\.0( on \S+)?: its connection broke)")

    def test_by_a_slurmd_that_is_lost_a_run_drains_and_starts_again_elsewhere(self):
        job = self.submit(ENDLESS, "-N", "2")
        first = self.folder_of_job(job, restart=0)
        self.wait_for_rows(first)
        lost = first.json("peers/consumer.0.json")["stage_peers"][0]["node"]
        self.break_for_a_while("kill-slurmd", lost, "start-slurmd")
        again = self.folder_of_job(job, restart=1)
        self.wait_for_rows(again)

        self.assert_drained(first, signal.SIGTERM)
        nodes = {peer["node"] for peers in again.json("peers/consumer.0.json")["all_stages"].values() for peer in peers}
        self.assertNotIn(lost, nodes)

    def test_where_a_node_does_not_see_the_run_directory_the_run_says_so(self):
        self.hide(self.runs_dir, "n2")
        run = self.launch(DEMO, "--wait", *self.TWO_NODES)
        self.assert_code(run, 2, LONGEST_JOB_S)
        self.jobs.append(run.out.strip())

        said = self.output_of(self.jobs[-1])
        self.assertRegex(said, f"the run directory '{self.runs_dir}/streaming-demo-[^']*' is not to be seen on n2; choose")
        self.assertEqual(list(self.runs_dir.iterdir()), [])
        self.assertIn(f"and no run of it is in '{self.runs_dir}'; see the output file of the job", run.err)

    def test_where_a_node_does_not_see_the_pipeline_the_run_says_so(self):
        pipelines = self.folder / "pipelines"
        pipelines.mkdir()
        shutil.copy(DEMO, pipelines / "demo.json")
        self.hide(pipelines, "n2")
        run = self.launch(pipelines / "demo.json", "--wait", *self.TWO_NODES)
        self.assert_code(run, 2, LONGEST_JOB_S)
        self.jobs.append(run.out.strip())

        said = self.output_of(self.jobs[-1])
        self.assertRegex(said, r"\.\d \(rank \d\) cannot start on n2: invalid input: .*demo\.json")

    def test_where_this_machine_does_not_see_the_run_directory_launch_says_so(self):
        self.hide(self.runs_dir, "n1")
        run = self.launch_to_end(DEMO, *SHORT, "-N", "1", "--ntasks-per-node", "4", "--sbatch", "nodelist=n1",
                                 "--set", "processor.instances=1")
        self.assertIn(f"COMPLETED with exit code 0, and no run of it is in '{self.runs_dir}'", run.err)


class OwnScripts(SlurmTestCase):
    def run_words(self, pipeline, *options):
        path = self.write(pipeline) if isinstance(pipeline, dict) else pipeline
        return subprocess.list2cmdline([program(), "run", str(path), "--runs-dir", str(self.runs_dir), *options])

    def test_by_srun_of_the_wrong_size_say_what_is_needed(self):
        job = self.script(f"srun --mpi=pmix {self.run_words(DEMO)}", "-n", "3")
        self.wait_for_job(job, "FAILED")
        said = self.output_of(job)
        self.assertIn("needs 5 ranks (1 coordinator + 1 producer + 2 processor + 1 consumer), but this job has 3", said)
        self.assertIn("start it with 'srun --mpi=pmix -n 5' in a job of as many tasks, or with `penstock launch`", said)
        self.assertEqual(list(self.runs_dir.glob("*")), [])

    def test_by_mpirun_in_a_job(self):
        job = self.script(f"mpirun {self.run_words(DEMO, *SHORT)}", "-n", "5", "-N", "2")
        wait_until(lambda: state_of(job) in ("COMPLETED", "FAILED"), "the end of the job")
        self.assertEqual(state_of(job), "COMPLETED", self.output_of(job))
        self.assert_demo_rows(self.folder_of_job(job).result(), range(10_000))

    def test_without_mpi_through_pmix_and_over_tcp(self):
        for interface, launch, said in (("pmix", "pmix", "PMIx"), ("none", "tcp", "TCP rendezvous")):
            with self.subTest(launch):
                job = self.script(f"srun --mpi={interface} {self.run_words(DEMO, *SHORT, '--launch', launch)}", "-n", "5", "-N", "2")
                wait_until(lambda job=job: state_of(job) in ("COMPLETED", "FAILED"), "the end of the job")
                self.assertEqual(state_of(job), "COMPLETED", self.output_of(job))
                folder = self.folder_of_job(job)
                self.assert_demo_rows(folder.result(), range(10_000))
                self.assertRegex(folder.messages("coordinator")[1], f"^Launched by: .*{said}.*, without MPI$")
        self.assertEqual(list(self.runs_dir.glob(".rendezvous*")), [])

    def test_over_tcp_submitted_by_launch(self):
        job = self.launch_to_end(DEMO, *SHORT, "--launch", "tcp", "-N", "2").out.strip()

        self.assertIn("TCP rendezvous", self.folder_of_job(job).messages("coordinator")[1])

    def test_over_tcp_end_with_the_code_of_the_run(self):
        spec = line_of(stage("producer", "records", total_batches=5), stage("processor", "scale_records"),
                       stage("consumer", "csv_sink", path="/no/such/folder/results.csv"))
        job = self.script(f"srun --mpi=none {self.run_words(spec, '--launch', 'tcp')}", "-n", "4", "-N", "2")
        self.wait_for_job(job, "FAILED")

        self.assertRegex(slurm("scontrol", "show", "job", job), r"ExitCode=2:0", self.output_of(job))

    def test_beside_the_run_directory_of_one_that_was_killed(self):
        stale = self.runs_dir / "streaming-demo-20200101-000000-0000"
        stale.mkdir(parents=True)
        about = {"pipeline": "streaming-demo", "started_at": "2020-01-01T00:00:00Z", "host": "n1", "world": "elsewhere",
                 "pid": 1, "process_started": 1, "slurm_job_id": "999999",
                 "slurm_cluster": re.search("ClusterName *= (.*)", slurm("scontrol", "show", "config"))[1]}
        (stale / "run.json").write_text(json.dumps(about))
        (stale / "plan.json").write_text("{}")
        (stale / "status.json").write_text('{"pipeline": "streaming-demo", "state": "running"}')

        job = self.launch_to_end(DEMO, *SHORT).out.strip()
        listed = {each["slurm_job_id"]: each for each in
                  json.loads(self.command("list", "--json", "--runs-dir", self.runs_dir).out)}
        self.assertEqual(listed[job]["state"], "completed")
        self.assertEqual(listed["999999"]["state"], "lost")
        self.assertEqual(listed["999999"]["note"],
                         "its Slurm job 999999 has ended, and nothing says how the run ended")


class Shipped(SlurmTestCase):
    def run_script(self, name, *options):
        job = slurm("env", f"PENSTOCK={program()}", "sbatch", "--parsable", "-o", self.folder / "job-%j.out", "-D",
                    self.folder, *options, SOURCE / "slurm" / name)
        self.jobs.append(job)
        wait_until(lambda: state_of(job) in ("COMPLETED", "FAILED"), "the end of the job", LONGEST_JOB_S)
        self.assertEqual(state_of(job), "COMPLETED", self.output_of(job))
        return self.folder_of_job(job)

    def setUp(self):
        super().setUp()
        for name in ("jobs", "bench", "slurm"):
            (self.folder / name).symlink_to(SOURCE / name)  # the scripts run where the repository lies

    def test_demo(self):
        self.assert_demo_rows(self.run_script("demo.sbatch").result(), range(100_000))

    def test_gpu(self):
        os.environ["PROGRAM"] = os.environ["PENSTOCK_GPU"]
        self.addCleanup(os.environ.pop, "PROGRAM")
        folder = self.run_script("gpu.sbatch", "-p", "accel", "--overcommit")  # a node has four cores

        peers = folder.json("peers/scale.0.json")["stage_peers"]
        self.assertEqual(sorted((peer["node"], peer["gpu"]) for peer in peers), [("n3", "0"), ("n3", "1")])
        rows = [json.loads(line) for line in folder.result("results.jsonl").read_text().splitlines()]
        self.assertIn([0, 10, 20], [row["values"] for row in rows])
        self.assertEqual(len(rows), 20)

    @unittest.skipUnless(HAS_HDF5, "penstock has no HDF5 here")
    def test_telemetry(self):
        folder = self.run_script("telemetry.sbatch", "-N", "2")
        self.assertEqual(folder.status["state"], "completed")
        sent = folder.channel("streamer-collector")
        self.assertEqual((sent["delivered"], sent["dropped"]), (sent["published"], 0))
        self.assertGreater(sent["published"], 0)


    def test_throughput(self):
        for name, line_rate, nodes in (("c5n", 12.5, 2), ("p4d", 50, 4)):
            with self.subTest(name):
                rows = self.folder / f"{name}.json"
                job = slurm("env", f"PENSTOCK={program()}", "sbatch", "--parsable", "-o", self.folder / "job-%j.out", "-D",
                            self.folder, "-N", str(nodes), "-p", slurm("sinfo", "-h", "-o", "%R").split()[0],
                            SOURCE / "slurm" / f"throughput-{name}.sbatch", "--sizes", "256KiB", "--instances", "2",
                            "--gigabytes", "0.05", "--json", rows)
                self.jobs.append(job)
                wait_until(lambda: state_of(job) in ("COMPLETED", "FAILED"), "the end of the job", LONGEST_JOB_S)  # noqa: B023
                self.assertEqual(state_of(job), "COMPLETED", self.output_of(job))

                said = self.output_of(job)
                self.assertRegex(said, rf"nodes: srun on n\d(, n\d){{{nodes - 1}}}\n")
                self.assertIn("no EFA and no InfiniBand on this node", said)
                self.assertRegex(said, r"256 KiB +2 +mpi +\d+\.\d\d +\d+% +- +-\n")
                measured = json.loads(rows.read_text())
                self.assertIn((262144, line_rate), [(each["size_bytes"], each["limit"]) for each in measured])
        self.assertEqual(list(self.folder.glob("throughput-*")), [], "it cleans up")


class TwoUsers(SlurmTestCase):
    NOBODY = "65534"

    def as_nobody(self, *words):
        run = self.start_command(["setpriv", f"--reuid={self.NOBODY}", f"--regid={self.NOBODY}", "--clear-groups",
                                  program(), *words], cwd=self.theirs, env={"TMPDIR": str(self.theirs)})
        run.wait(LONGEST_JOB_S)
        return run

    def setUp(self):
        super().setUp()
        self.folder.chmod(0o711)
        self.theirs = self.folder / "nobody"
        self.theirs.mkdir()
        os.chown(self.theirs, int(self.NOBODY), int(self.NOBODY))

    def test_run_side_by_side_and_see_nothing_of_each_other(self):
        mine = self.submit(ENDLESS)
        folder = self.folder_of_job(mine)
        self.wait_for_rows(folder)
        shutil.copy(DEMO, self.theirs / "demo.json")
        run = self.as_nobody("launch", "demo.json", "--wait", "--runs-dir", "runs", *SHORT)
        self.assertEqual(run.popen.returncode, 0, run.err)
        self.jobs.append(run.out.strip())

        self.assertEqual(slurm("squeue", "-h", "-t", "all", "-j", run.out.strip(), "-o", "%U"), self.NOBODY)
        made = next((self.theirs / "runs").iterdir())
        self.assert_demo_rows(made / "results" / "results.csv", range(10_000))
        self.assertEqual((made.stat().st_uid, made.stat().st_mode & 0o777), (int(self.NOBODY), 0o700))
        looked = self.as_nobody("status", str(folder.path))
        self.assertEqual(looked.popen.returncode, 2)
        stopped = self.as_nobody("cancel", str(folder.path))
        self.assertEqual(stopped.popen.returncode, 2)
        self.assertEqual(folder.status["state"], "running")


class Exec(SlurmTestCase):
    def test_runs_a_command_on_the_node_of_an_instance(self):
        job = self.submit(ENDLESS, "-N", "3")
        folder = self.folder_of_job(job)
        self.wait_for_rows(folder)
        peer = folder.json("peers/consumer.0.json")["stage_peers"][0]
        run = self.command("exec", "--runs-dir", self.runs_dir, "--stage", "consumer", job, "--", "sh", "-c",
                           "echo $(hostname) $PENSTOCK_STAGE.$PENSTOCK_INSTANCE $PENSTOCK_RANK; "
                           "cat /proc/$PENSTOCK_PID/comm; exit 3")

        self.assertEqual((run.out, run.popen.returncode), (f"{peer['node']} consumer.0 4\npenstock\n", 3), run.err)
        self.assertNotEqual(peer["node"], "n1")


if __name__ == "__main__":
    reason = missing()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # the cluster is to be stopped all the same
    unittest.main()
