"""The commands that run nothing, and the exit codes of all of them."""

import json
import unittest

from penstock_runs import DEMO, FAN_OUT, SOURCE, RunTestCase, channel, line_of, stage


class Commands(RunTestCase):
    def answer(self, *words, code=0):
        run = self.command(*words)
        self.assert_code(run, code)
        return run.out if code == 0 else run.err

    def test_validate_tells_what_a_good_file_holds(self):
        for name in ("validate", "check", "lint"):
            self.assertEqual(self.answer(name, DEMO), f"{DEMO}: ok: 3 stages, 2 channels, 5 processes\n")

    def test_validate_answers_programs_in_json(self):
        self.assertEqual(json.loads(self.answer("validate", FAN_OUT, "--json")),
                         {"valid": True, "file": str(FAN_OUT), "pipeline": "fan-out", "stages": 3, "channels": 2,
                          "processes": 5})

    def test_validate_names_every_problem_of_a_bad_file(self):
        spec = {"stages": [stage("make", "recrods"), stage("make", "csv_sink"),
                           stage("lost", "csv_sink", colour="red")],
                "channels": [channel("make", "wirte")]}
        said = self.answer("validate", self.write(spec), code=2)

        for text in ("recrods", "did you mean \"records\"", "wirte", "make"):
            self.assertIn(text, said)

    def test_validate_names_the_cycle(self):
        spec = {"stages": [stage("make", "pattern"), stage("left", "pass"), stage("right", "pass"),
                           stage("end", "null")],
                "channels": [channel("make", "left"), channel("left", "right"), channel("right", "left"),
                             channel("right", "end")]}
        said = self.answer("validate", self.write(spec), code=2)

        self.assertRegex(said, r"cycle.*(left -> right -> left|right -> left -> right)")

    def test_run_refuses_what_validate_refuses_and_leaves_no_run_directory(self):
        spec = line_of(stage("make", "records", batch_size=-1), stage("write", "csv_sink"))
        path = self.write(spec)
        run = self.start(path)

        self.assert_code(run, 2)
        self.assertEqual(run.err, self.answer("validate", path, code=2))
        self.assertFalse(self.runs_dir.exists())

    def test_plan_shows_who_runs_where(self):
        text = self.answer("plan", DEMO)
        for name in ("coordinator", "producer", "processor", "consumer", "csv_sink", "balance"):
            self.assertIn(name, text)
        plan = json.loads(self.answer("plan", DEMO, "--json", "--set", "processor.instances=5"))
        self.assertEqual(plan["processes"], 8)
        self.assertEqual([entry["rank"] for entry in plan["ranks"]], list(range(8)))

    def test_graph_draws_for_terminals_and_for_graphviz(self):
        text = self.answer("graph", DEMO)
        for name in ("producer", "processor", "consumer"):
            self.assertIn(name, text)
        dot = self.answer("graph", FAN_OUT, "--format", "dot")
        self.assertTrue(dot.startswith("digraph"))
        self.assertRegex(dot, r'"producer" -> "processor"')
        self.assertIn("broadcast", dot)

    def test_operators_are_listed_and_described(self):
        listed = {entry["name"]: entry["kind"] for entry in json.loads(self.answer("operators", "--json"))}
        for name, kind in {"records": "source", "scale_records": "processor", "csv_sink": "sink", "pattern": "source",
                           "pass": "processor", "null": "sink"}.items():
            self.assertEqual(listed[name], kind)
            self.assertIn(name, self.answer("operators"))
        records = json.loads(self.answer("operators", "records", "--json"))
        params = {entry["name"]: entry for entry in records["params"]}
        self.assertEqual((params["batch_size"]["default"], params["batch_size"]["env"]), (1000, "BATCH_SIZE"))
        self.assertEqual(params["interval"]["unit"], "ms")

    def test_operators_suggests_the_one_that_was_meant(self):
        self.assertIn('did you mean "scale_records"', self.answer("operators", "scale_record", code=2))

    def test_transports_tells_what_is_built_in(self):
        listed = {entry["name"]: entry["built"] for entry in json.loads(self.answer("transports", "--json"))}
        self.assertTrue(listed["shm"])
        self.assertIn("mpi", listed)

    def test_schema_is_the_one_that_is_shipped(self):
        self.assertEqual(self.answer("schema"), (SOURCE / "jobs" / "pipeline.schema.json").read_text())

    def test_exit_with_2_for_what_is_no_command_line(self):
        for words in ([], ["fly"], ["run"], ["run", DEMO, "--transprot", "shm"], ["run", DEMO, "--transport", "pigeon"],
                      ["run", DEMO, "--set", "nobody.cares=1"], ["run", DEMO, "--set", "producer.color=1"],
                      ["run", DEMO, "--stall-timeout", "soon"], ["run", "missing.json"], ["run", self.folder],
                      ["graph", DEMO, "--format", "svg"]):
            with self.subTest(words):
                self.assertTrue(self.answer(*words, code=2))

    def test_exit_with_3_for_what_this_launch_cannot_do(self):
        self.assertIn("needs an MPI job", self.answer("run", DEMO, "--launch", "local", "--transport", "mpi", code=3))

    def test_exit_with_3_when_a_channel_asks_for_a_transport_that_this_launch_has_not(self):
        spec = {"stages": [stage("a", "records"), stage("b", "csv_sink")],
                "channels": [{"from": "a", "to": "b", "transport": "mpi"}]}
        _, said = self.run_to_end(spec, code=3)

        self.assertIn("transport 'mpi' needs an MPI job", said)

    def test_explain_failures_to_programs_in_json(self):
        run = self.command("run", "missing.json", "--json")

        self.assert_code(run, 2)
        error = json.loads(run.out)["error"]
        self.assertEqual((error["kind"], error["exit_code"]), ("invalid_input", 2))
        self.assertIn("missing.json", error["message"])


class LaunchWithoutSlurm(RunTestCase):
    """Without a search path there is no sbatch."""

    def launch(self, *words):
        return self.command("launch", DEMO, "--runs-dir", self.runs_dir, "--no-progress", *words, env={"PATH": "/nowhere"})

    def test_runs_here_and_says_what_it_leaves_out(self):
        run = self.launch("--mem", "4G", "-N", "2", "--wait", "--wait-timeout", "3s")

        self.assert_code(run, 0)
        self.assertIn("there is no sbatch on this machine; the pipeline runs here, without --nodes, --mem, --wait-timeout",
                      run.err)
        self.assert_demo_rows(self.only_folder().result(), range(100_000))

    def test_refuses_to_wait_for_another_job(self):
        run = self.launch("-d", "afterok:3")

        self.assert_code(run, 3)
        self.assertIn("leave --dependency out", run.err)
        self.assertFalse(self.runs_dir.exists())


if __name__ == "__main__":
    unittest.main()
