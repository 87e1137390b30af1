"""The shipped jobs as the ranks of an MPI job."""

import json
import re
import signal
import unittest

from penstock_runs import DEMO, FAN_OUT, RunTestCase, channel, line_of, mpiexec, program, rows_of, stage

LONGEST_END_S = 5
ENDLESS = line_of(stage("producer", "records", batch_size=100, total_batches=0, interval="1ms"),
                  stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))


class Mpi(RunTestCase):
    def run_mpi(self, pipeline, *options, ranks=5, code=0):
        return self.run_to_end(pipeline, *options, launcher=mpiexec(ranks), code=code)

    def rank(self, run, number):
        """The process of that rank once the run is under way."""
        self.wait_for_state("running")
        names = ("OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK")
        return next(each for each in run.processes() if str(number) in map(each.environment.get, names))


class Demo(Mpi):
    def test_writes_the_same_rows_as_local_processes_over_every_transport(self):
        local = sorted(rows_of(self.run_to_end(DEMO).result()))
        for transport in ("auto", "shm", "mpi"):
            with self.subTest(transport):
                folder = self.run_mpi(DEMO, "--transport", transport)

                self.assertTrue(sorted(rows_of(folder.result())) == local, "other rows")
                self.assertEqual(folder.counter("consumer", "records"), 100_000)
                self.assertEqual(folder.status["state"], "completed")

    def test_fills_the_job_with_the_stage_that_is_to(self):
        spec = line_of(stage("producer", "records", total_batches=10), stage("processor", "scale_records", "fill"),
                       stage("consumer", "csv_sink"))
        for ranks in (4, 7):
            folder = self.run_mpi(spec, ranks=ranks)
            self.assertEqual(len(folder.instance_counters("processor", "records")), ranks - 3)
            self.assert_demo_rows(folder.result(), range(10_000))

    def test_leaves_the_same_run_directory_as_local_processes(self):
        def files(folder):
            return sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*"))
        folder = self.run_mpi(DEMO)

        self.assertEqual(files(folder), files(self.run_to_end(DEMO)))
        self.assertRegex(folder.messages("coordinator")[1], "^Launched by: .*MPI.*message layer")
        peers = folder.json("peers/consumer.0.json")["all_stages"]
        self.assertEqual([peer["rank"] for stage_peers in peers.values() for peer in stage_peers], [1, 2, 3, 4])

    def test_broadcasts_over_both_transports(self):
        for transport in ("auto", "mpi"):
            with self.subTest(transport):
                folder = self.run_mpi(FAN_OUT, "--transport", transport)

                self.assert_demo_rows(folder.result(), range(100_000), times=2)

    def test_says_how_many_ranks_are_needed_and_why(self):
        for ranks in (1, 4, 6):
            with self.subTest(ranks):
                run = self.start(DEMO, launcher=mpiexec(ranks))

                self.assert_code(run, 2)
                self.assertEqual(run.err.count("pipeline 'streaming-demo' needs 5 ranks (1 coordinator + 1 producer + "
                                               f"2 processor + 1 consumer), but this job has {ranks}; "
                                               "start it with 'mpirun -n 5'"), 1)
                self.assertFalse(self.runs_dir.exists())

    def test_explains_a_failure_once(self):
        spec = line_of(stage("producer", "records"), stage("processor", "scale_records", instances=2),
                       stage("consumer", "csv_sink", output=str(self.folder / "missing" / "results.csv")))
        for number in range(3):  # mpirun may end the rank that tells as soon as another has failed
            with self.subTest(number):
                run = self.start(spec, "--json", launcher=mpiexec(5))

                self.assert_code(run, 2)
                self.assertEqual(len(re.findall("^penstock: invalid input: ", run.err, re.MULTILINE)), 1)
                self.assertEqual(json.loads(run.out[: run.out.rindex("}") + 1])["error"]["exit_code"], 2)

    def test_names_the_rank_that_has_no_pipeline_and_nobody_waits_for_it(self):
        spec = self.write(line_of(stage("producer", "records", total_batches=0), stage("consumer", "csv_sink")))
        wrong = 'case "$OMPI_COMM_WORLD_RANK$PMI_RANK" in 2*) set -- "$1" "$2" nowhere.json ;; esac; exec "$@"'
        for mine, said in ((wrong, "consumer.0 (rank 2) cannot start on"), (wrong.replace("2*", "*"), "nowhere.json")):
            with self.subTest(said):
                run = self.start_command([*mpiexec(3), "bash", "-c", mine, "bash", program(), "run", spec, "--runs-dir",
                                          self.runs_dir])
                self.assert_code(run, 2)
                self.assertEqual(len(re.findall("^penstock: invalid input: ", run.err, re.MULTILINE)), 1, run.err)
                self.assertIn(said, run.err)
                self.assertIn("nowhere.json", run.err)

    def test_dispatches_centrally_over_every_transport(self):
        for transport in ("auto", "mpi"):
            for by in ("reference", "value"):
                with self.subTest(transport=transport, by=by):
                    spec = line_of(stage("source", "pattern", size_bytes="300KiB", count=60),
                                   stage("middle", "pass", instances=2), stage("sink", "null"),
                                   dispatch="central", by=by)
                    folder = self.run_mpi(spec, "--transport", transport, "--arena-mib", "8")

                    self.assertEqual(folder.counter("sink", "bytes"), 60 * 300 << 10)
                    for name in ("source-middle", "middle-sink"):
                        counts = folder.channel(name)
                        self.assertEqual(counts["settled"], 60)
                        self.assertEqual(counts["rank0_bytes"], 60 * 300 << 10 if by == "value" else 0)

    def test_hands_on_blobs_of_owners_that_another_transport_leads_to(self):
        spec = line_of(stage("source", "pattern", size_bytes="300KiB", count=60), stage("middle", "pass"),
                       stage("sink", "null"))
        for first, second in (("shm", "mpi"), ("mpi", "shm")):
            with self.subTest(first=first, second=second):
                spec["channels"][0]["transport"] = first
                spec["channels"][1]["transport"] = second
                folder = self.run_mpi(spec, ranks=4)

                self.assertEqual(folder.counter("sink", "bytes"), 60 * 300 << 10)

    def test_moves_large_payloads_over_mpi(self):
        spec = line_of(stage("source", "pattern", size_bytes="3MiB", count=100), stage("middle", "pass"),
                       stage("sink", "null"))
        folder = self.run_mpi(spec, "--transport", "mpi", "--arena-mib", "64", ranks=4)

        self.assertEqual(folder.counter("sink", "bytes"), 100 * 3 << 20)


class Stalled(Mpi):
    def test_run_is_reported_to_programs_in_json_before_the_job_is_aborted(self):
        run = self.start(ENDLESS, "--json", "--stall-timeout", "2s", launcher=mpiexec(5))
        self.rank(run, 4).kill(signal.SIGSTOP)

        self.assertNotEqual(run.wait(), 0)
        self.assertEqual(self.only_folder().status["exit_code"], 5)
        answer = json.loads(run.out[run.out.index("{"): run.out.rindex("}") + 1])
        self.assertEqual(answer["error"]["exit_code"], 5)
        self.assertIn("nothing moved for 2", run.err)

    def test_source_that_pauses_over_mpi_is_none(self):
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=2, interval="3s"),
                       stage("consumer", "csv_sink"))
        self.run_mpi(spec, "--transport", "mpi", "--stall-timeout", "1s", ranks=3)


class Failed(Mpi):
    def test_run_ends_although_another_operator_never_returns(self):
        spec = {"stages": [stage("source", "tagged_source", count=100), stage("stuck", "stuck_processor"),
                           stage("sink", "null"), stage("thrower", "throwing_sink", after=50)],
                "channels": [channel("source", "stuck"), channel("stuck", "sink"), channel("source", "thrower")]}
        run = self.start(spec, launcher=mpiexec(5), faults=True)

        self.assert_code(run, 3)
        self.assertIn("planned failure in call", run.err)
        self.assertEqual(self.only_folder().status["exit_code"], 3)


class Stopped(Mpi):
    def test_by_a_signal_to_any_rank_drains_what_is_under_way(self):
        for number in (0, 2):
            with self.subTest(rank=number):
                self.runs_dir = self.folder / f"runs-{number}"
                run = self.start(ENDLESS, launcher=mpiexec(5))
                self.rank(run, number).kill(signal.SIGTERM)

                self.assertNotEqual(run.wait(), 0)
                folder = self.only_folder()
                self.assertEqual((folder.status["state"], folder.status["exit_code"]), ("cancelled", 143))
                self.assert_demo_rows(folder.result(), range(folder.counter("producer", "records")))


class Killed(Mpi):
    def test_rank_ends_the_job_soon_and_nothing_is_left(self):
        for number in range(5):
            with self.subTest(rank=number):
                self.runs_dir = self.folder / f"runs-{number}"
                run = self.start(ENDLESS, launcher=mpiexec(5))
                self.rank(run, number).kill()

                self.assertNotEqual(run.wait(LONGEST_END_S), 0)
                folder = self.only_folder()
                settled = folder.channel("processor-consumer", "status.json")["settled"]
                self.assertGreaterEqual(len(rows_of(folder.result())), 100 * settled)


if __name__ == "__main__":
    unittest.main()
