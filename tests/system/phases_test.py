"""Pipelines with phases: one run after the other, each of them its own, and jobs that wait for each other."""

import csv
import json
import os
import re
import signal
import unittest

from penstock_runs import SOURCE, RunFolder, RunTestCase, channel, mpiexec, program, stage, wait_until

EXAMPLE = SOURCE / "jobs" / "two-phases.json"
HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ
ENDLESS = ["--set", "make.total_batches=0", "--set", "make.interval=1ms"]


def after(each, *stages):
    return {**each, "after": list(stages)}


def three(**params):
    """Three phases; the second and the third one read what the first one writes."""
    return {
        "pipeline": "three",
        "stages": [stage("make", "records", batch_size=10, total_batches=10),
                   stage("write", "csv_sink", output="records.csv"),
                   after(stage("copy", "file_source", input="{results:write}/records.csv"), "make"),
                   stage("keep", "file_sink", output="copy.csv"),
                   after(stage("last", "file_source", **{"input": "{results:make}/records.csv", **params}), "copy"),
                   stage("end", "file_sink", output="last.csv")],
        "channels": [channel("make", "write"), channel("copy", "keep"), channel("last", "end")]}


class PhasesTestCase(RunTestCase):
    def folders(self):
        """The run directories by phase."""
        found = {}
        for path in self.runs_dir.glob("*/run.json"):
            folder = RunFolder(path.parent)
            found[folder.json("run.json")["phase"]["name"]] = folder
        return found


class Run(PhasesTestCase):
    def test_of_the_shipped_example_reads_in_its_second_phase_what_the_first_wrote(self):
        run = self.start(EXAMPLE)
        self.assert_code(run, 0)

        folders = self.folders()
        self.assertEqual(sorted(folders), ["make", "read"])
        self.assert_demo_rows_scaled(folders["make"].result("records.csv"))
        rows = list(csv.DictReader(folders["read"].result("spectrum.csv").read_text().splitlines()))
        inside = rows[1:-1]
        self.assertEqual(len(inside), 30)
        self.assertEqual([int(row["count"]) for row in inside], [3334, 3333, 3333] * 10)
        self.assertEqual(folders["read"].counter("read", "records"), 100_000)
        self.assertEqual(re.findall(r"^phase .*|^run directory: .*", run.out, re.MULTILINE),
                         ["phase make (1 of 2)", f"run directory: {folders['make'].path}",
                          "phase read (2 of 2)", f"run directory: {folders['read'].path}"])

    def assert_demo_rows_scaled(self, path):
        """Values three times their ids, as those of the demo."""
        self.assert_demo_rows(path, range(100_000))

    def test_links_each_phase_with_those_before(self):
        self.assert_code(self.start(three()), 0)

        folders = self.folders()
        self.assertEqual({name: folder.path.name.rsplit("-", 3)[0] for name, folder in folders.items()},
                         {"make": "three-make", "copy": "three-copy", "last": "three-last"})
        first, second = str(folders["make"].path), str(folders["copy"].path)
        self.assertEqual(folders["last"].json("plan.json")["phase"],
                         {"name": "last", "number": 3, "of": 3, "after": ["copy"],
                          "runs": {"copy": second, "make": first}})
        self.assertEqual(folders["last"].json("plan.json")["stages"][0]["params"]["input"],
                         f"{first}/results/records.csv")
        self.assertEqual(folders["last"].result("last.csv").read_text(),
                         folders["make"].result("records.csv").read_text())

        status = self.command("status", "three-last", "--runs-dir", self.runs_dir)
        self.assertIn("\n  phase last (3 of 3) of pipeline three\n", status.out)
        self.assertIn(f"\n  after phase make: {first}\n", status.out)
        listed = self.command("list", "--runs-dir", self.runs_dir)
        self.assertRegex(listed.out, r"\nthree-copy-\S+ +three, phase copy \(2 of 3\) +completed")
        as_json = json.loads(self.command("status", "three-copy", "--runs-dir", self.runs_dir, "--json").out)
        self.assertEqual(as_json["phase"], {"name": "copy", "number": 2, "of": 3, "runs": {"make": first}})
        path = self.command("status", "three-copy", "--runs-dir", self.runs_dir, "--path")
        self.assertEqual(path.out, f"{second}\n")
        report = self.command("report", "three-last", "--runs-dir", self.runs_dir, "--output", "-")
        self.assertIn(first, report.out)

    def test_tells_all_phases_in_one_object_of_json(self):
        run = self.start(three(), "--json")
        self.assert_code(run, 0)
        told = json.loads(run.out)
        self.assertEqual((told["pipeline"], len(told["phases"])), ("three", 3))
        self.assertEqual([each["exit_code"] for each in told["phases"]], [0, 0, 0])
        self.assertEqual(told["phases"][2]["stages"][0]["name"], "last")

    def test_answers_on_a_port_in_each_phase(self):
        run = self.start(three(), "--http", "0")
        self.assert_code(run, 0)
        self.assertEqual(run.err.count("http://127.0.0.1:"), 3)

    def test_ends_with_the_first_phase_that_fails_and_names_the_others(self):
        spec = three()
        spec["stages"][0] = stage("make", "file_source", input="no-such-file")
        run = self.start(spec)
        self.assert_code(run, 2)
        self.assertIn("no-such-file", run.err)
        self.assertIn("in phase make (1 of 3); not started: \"copy\", \"last\"", run.err)
        self.assertEqual(list(self.folders()), ["make"])

        spec = three(input="{results:make}/other.csv")
        run = self.start(spec, "--json", runs_dir=self.folder / "more")
        self.assert_code(run, 2)
        self.assertIn("/results/other.csv", run.err)
        self.assertIn("in phase last (3 of 3)\n", run.err)
        told = json.loads(run.out)
        self.assertEqual([each["exit_code"] for each in told["phases"]], [0, 0, 2])
        self.assertEqual(told["error"]["exit_code"], 2)

    def test_without_a_place_for_its_runs_says_which_phases_have_not_started(self):
        (self.folder / "file").touch()
        run = self.start(three(), runs_dir=self.folder / "file" / "runs")
        self.assert_code(run, 2)
        self.assertIn("not started: \"copy\", \"last\"", run.err)

    def wait_for_rows(self):
        def rows():
            return any(path.stat().st_size > 1000 for path in self.runs_dir.glob("*/results/records.csv"))
        wait_until(rows, "there are results")

    def assert_stopped_in_the_first(self, run, number):
        self.assert_code(run, 128 + number)
        self.assertIn("phase make (1 of 2); not started: \"read\"", run.err)
        self.assertEqual(list(self.folders()), ["make"])
        folder = self.folders()["make"]
        self.assertEqual(folder.status["state"], "cancelled")
        self.assert_demo_rows(folder.result("records.csv"), range(folder.counter("make", "records")))

    def test_stopped_by_ctrl_c_drains_and_starts_no_other_phase(self):
        run = self.start(EXAMPLE, *ENDLESS)
        self.wait_for_rows()
        run.send(signal.SIGINT)
        self.assert_stopped_in_the_first(run, signal.SIGINT)

    def test_stopped_by_cancel_drains_and_starts_no_other_phase(self):
        run = self.start(EXAMPLE, *ENDLESS)
        self.wait_for_rows()
        self.assert_code(self.command("cancel", "two-phases-make", "--runs-dir", self.runs_dir), 0)
        self.assert_stopped_in_the_first(run, signal.SIGTERM)

    def test_with_phases_that_nothing_orders_runs_them_in_the_order_of_the_file(self):
        spec = three()
        spec["stages"].append(stage("alone", "records", batch_size=1, total_batches=1))
        spec["stages"].append(stage("away", "null"))
        spec["channels"].append(channel("alone", "away"))
        run = self.start(spec)
        self.assert_code(run, 0)
        self.assertEqual(re.findall(r"^phase (\w+)", run.out, re.MULTILINE), ["make", "copy", "last", "alone"])

    def test_without_any_order_is_one_run(self):
        spec = {"stages": [stage("a", "records", total_batches=1), stage("b", "null"),
                           stage("c", "records", total_batches=1), stage("d", "null")],
                "channels": [channel("a", "b"), channel("c", "d")]}
        folder = self.run_to_end(spec)
        self.assertNotIn("phase", folder.json("run.json"))
        self.assertEqual(folder.json("plan.json")["processes"], 5)


class OnePhase(PhasesTestCase):
    def setUp(self):
        super().setUp()
        self.spec = self.write(three())

    def refused(self, *options, code=2):
        run = self.start(self.spec, *options)
        self.assert_code(run, code)
        return run.err

    def test_runs_with_the_results_of_runs_before(self):
        first = self.run_to_end(self.spec, "--phase", "write")
        second = self.run_to_end(self.spec, "--phase", "copy", "--earlier", f"make={first.path}")
        third = self.run_to_end(self.spec, "--phase", "last", "--earlier", f"keep={second.path.name}", "--earlier",
                                "write=three-make")
        self.assertEqual(third.result("last.csv").read_text(), first.result("records.csv").read_text())
        self.assertEqual(third.json("run.json")["phase"]["runs"],
                         {"copy": str(second.path), "make": str(first.path)})

    def test_by_a_program_of_the_user_as_all_of_them(self):
        first = self.run_to_end(self.spec, "--phase", "make", faults=True)
        second = self.run_to_end(self.spec, "--phase=copy", f"--earlier=make={first.path}", faults=True)
        self.assertEqual(second.result("copy.csv").read_text(), first.result("records.csv").read_text())

        last = self.run_to_end(self.spec, faults=True, runs_dir=self.folder / "all")
        phase = last.json("run.json")["phase"]
        self.assertEqual(phase["number"], 3)
        self.assertEqual(last.result("last.csv").read_text(),
                         RunFolder(phase["runs"]["make"]).result("records.csv").read_text())

    def test_says_which_run_it_needs(self):
        self.assertIn("phase last (3 of 3) of pipeline \"three\" reads the results of phase \"make\"; say with "
                      "--earlier make=RUN", self.refused("--phase", "last"))
        self.assertIn("did you mean \"make\"?", self.refused("--phase", "maek"))
        self.assertIn("--earlier is for one phase", self.refused("--earlier", "make=x"))
        self.assertIn("write STAGE=RUN", self.refused("--phase", "copy", "--earlier", "make"))

    def test_takes_no_run_of_something_else(self):
        first = self.run_to_end(self.spec, "--phase", "make").path
        demo = self.run_to_end(SOURCE / "jobs" / "streaming-demo.json", "--set", "producer.total_batches=1").path
        self.assertIn("no run of stage \"last\" is earlier than that of stage \"copy\"; the phases before it are "
                      "\"make\"", self.refused("--phase", "copy", "--earlier", f"last={first}"))
        self.assertIn("leave --earlier out", self.refused("--phase", "make", "--earlier", f"make={first}"))
        self.assertIn("is of pipeline \"streaming-demo\", which has no phases",
                      self.refused("--phase", "copy", "--earlier", f"make={demo}"))
        self.assertIn("phase \"make\" has two earlier runs",
                      self.refused("--phase", "copy", "--earlier", f"make={first}", "--earlier", f"write={first}"))
        self.assertIn("there is no run \"nowhere\"", self.refused("--phase", "copy", "--earlier", "make=nowhere"))

        broken = self.write({**three(), "stages": [stage("make", "file_source", input="no-such-file"),
                                                   *three()["stages"][1:]]}, "broken.json")
        failed, _ = self.failed(broken)
        self.assertIn("is failed; name a run of phase \"make\" that has completed",
                      self.refused("--phase", "copy", "--earlier", f"make={failed}"))

    def failed(self, spec):
        before = set(self.runs_dir.iterdir())
        run = self.start(spec, "--phase", "make")
        self.assert_code(run, 2)
        return (set(self.runs_dir.iterdir()) - before).pop(), run


@unittest.skipUnless(HAS_MPI, "there is no mpiexec")
class InAnMpiJob(PhasesTestCase):
    def test_all_phases_are_refused_with_the_ways_that_work(self):
        run = self.start(self.write(three()), launcher=mpiexec(3))
        self.assert_code(run, 3)
        self.assertIn("has 3 phases, and the ranks of a job can be those of one; `penstock launch`", run.err)
        self.assertFalse(self.runs_dir.exists())

    def test_one_phase_runs(self):
        spec = self.write(three())
        first = self.run_to_end(spec, "--phase", "make", launcher=mpiexec(3))
        second = self.run_to_end(spec, "--phase", "copy", "--earlier", f"make={first.path}", launcher=mpiexec(3))
        self.assertEqual(second.result("copy.csv").read_text(), first.result("records.csv").read_text())

    def test_an_earlier_run_that_is_none_ends_the_job(self):
        run = self.start(self.write(three()), "--phase", "copy", "--earlier", "make=none", launcher=mpiexec(3))
        self.assert_code(run, 2)
        self.assertIn("there is no run", run.err)


class Shown(PhasesTestCase):
    def test_by_validate_graph_and_plan(self):
        path = self.write(three())
        valid = self.command("validate", path)
        self.assertIn(": ok: 6 stages, 3 channels, 3 phases with up to 3 processes\n  phase make (1 of 3): 3 processes\n"
                      "  phase copy (2 of 3), after make: 3 processes\n", valid.out)
        phases = json.loads(self.command("validate", path, "--json").out)["phases"]
        self.assertEqual(phases[2], {"name": "last", "stages": 2, "processes": 3, "after": ["copy"]})
        self.assertIn("phase last (3 of 3), after copy\n\nlast (file_source)\n", self.command("graph", path).out)
        self.assertIn("pipeline three, phase copy (2 of 3), after make: 2 stages", self.command("plan", path).out)
        self.assertEqual(len(json.loads(self.command("plan", path, "--json").out)["phases"]), 3)

    def test_bad_order_with_place_line_and_remedy(self):
        spec = three()
        spec["stages"][0]["after"] = "last"
        path = self.folder / "bad.json"
        path.write_text(json.dumps(spec, indent=1))
        line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "{" in text and i > 3)
        run = self.command("validate", path)
        self.assert_code(run, 2)
        self.assertIn(f"{path}:{line}: /stages/0/after: the phases wait for each other: \"make\" before \"copy\" before "
                      "\"last\" before \"make\"; remove one \"after\"", run.err)


class Launch(PhasesTestCase):
    def launch(self, *options, env=None):
        return self.command("launch", self.write(three()), "--runs-dir", self.runs_dir, *options, env=env)

    def tools(self, **scripts):
        """An environment in which these are the commands of Slurm."""
        folder = self.folder / "tools"
        folder.mkdir()
        for name, text in scripts.items():
            path = folder / name
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(0o755)
        return {"PATH": f"{folder}:/usr/bin:/bin"}

    def test_prints_a_script_for_each_phase(self):
        run = self.launch("--print", "-d", "afterok:7", "-p", "cpu")
        self.assert_code(run, 0)
        scripts = re.split(r"^# ==== ", run.out, flags=re.MULTILINE)[1:]
        self.assertEqual([text.split(" ====")[0].split(";")[0] for text in scripts],
                         ["JOB1: phase make (1 of 3)", "JOB2: phase copy (2 of 3), after make",
                          "JOB3: phase last (3 of 3), after copy"])
        self.assertTrue(all("#SBATCH --partition=cpu\n" in text and "#!/bin/bash\n" in text for text in scripts))
        self.assertTrue(all(f"#SBATCH --job-name=three-{name}\n" in text
                            for name, text in zip(["make", "copy", "last"], scripts)))
        self.assertIn("--dependency=afterok:7\n", scripts[0])
        self.assertNotIn("earlier", scripts[0])
        self.assertIn("--dependency=afterok:JOB1\n", scripts[1])
        self.assertIn("--dependency=afterok:JOB2\n", scripts[2])
        self.assertIn("--phase last --earlier make=\"$earlier_1\" --earlier copy=\"$earlier_2\"", scripts[2])

    def test_of_one_phase_is_one_job(self):
        run = self.launch("--print", "--phase", "make")
        self.assert_code(run, 0)
        self.assertNotIn("====", run.out)
        self.assertIn("--phase=make", run.out)
        self.assertNotIn("#SBATCH --dependency", run.out)
        run = self.launch("--print", "--phase", "copy")
        self.assert_code(run, 2)
        self.assertIn("say with --earlier make=RUN", run.err)

    def test_cancels_what_it_has_submitted_when_the_next_job_is_refused(self):
        log = self.folder / "log"
        env = self.tools(
            sbatch=f"grep -q afterok:41 && {{ echo 'sbatch: error: Invalid qos specification' >&2; exit 1; }}\n"
                   f"n=$(cat {log} 2>/dev/null | wc -l); echo $((n + 40)) | tee -a {log}",
            scancel=f"echo \"cancelled $*\" >> {log}")
        run = self.launch(env=env)
        self.assert_code(run, 2)
        self.assertEqual(run.out, "")
        self.assertIn("Invalid qos specification", run.err)
        self.assertIn("submitting phase last (3 of 3); job 41, phase copy, is cancelled; job 40, phase make, is cancelled",
                      run.err)
        self.assertEqual(log.read_text().splitlines(), ["40", "41", "cancelled 41", "cancelled 40"])

    def test_says_which_jobs_are_left_when_they_cannot_be_cancelled(self):
        env = self.tools(sbatch="grep -q afterok && { echo 'sbatch: error: Invalid qos' >&2; exit 1; }\necho 40",
                         scancel="echo 'scancel: error: no controller' >&2; exit 1")
        run = self.launch(env=env)
        self.assert_code(run, 2)
        self.assertIn("job 40, phase make, is there: ", run.err)

    def test_runs_all_phases_here_where_there_is_no_slurm(self):
        (self.folder / "empty").mkdir()
        run = self.launch(env={"PATH": str(self.folder / "empty")})
        self.assert_code(run, 0)
        self.assertIn("there is no sbatch on this machine; the pipeline runs here", run.err)
        self.assertEqual(sorted(self.folders()), ["copy", "last", "make"])

    def test_asks_for_a_task_count_only_where_a_stage_fills(self):
        spec = three()
        spec["stages"][0]["instances"] = "fill"
        path = self.write(spec, "fill.json")
        self.assertIn("say with --ntasks", self.command("launch", path, "--print").err)
        out = self.command("launch", path, "--print", "-n", "9").out
        self.assertEqual(re.findall(r"#SBATCH --ntasks=(\d+)", out), ["9", "3", "3"])


if __name__ == "__main__":
    unittest.main()
