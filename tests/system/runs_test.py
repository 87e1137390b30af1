"""The commands that work on run directories: list, status, logs, cancel, collect."""

import json
import os
import shutil
import signal
import unittest

from penstock_runs import DEMO, RunFolder, RunTestCase, channel, line_of, program, stage, wait_until

ENDLESS = line_of(stage("producer", "records", batch_size=100, total_batches=0, interval="1ms"),
                  stage("processor", "scale_records", instances=2), stage("consumer", "csv_sink"))
# It does not notice that the run is to end: a wait of an operator would.
STUCK = line_of(stage("producer", "records", batch_size=1, total_batches=100),
                stage("stuck", "stuck_processor", after=1), stage("consumer", "null"))


class RunsTestCase(RunTestCase):
    def penstock(self, *words, code=0):
        run = self.command(*words, "--runs-dir", self.runs_dir)
        self.assertEqual(run.wait(), code, run.err)
        return run

    def status_of(self, *words):
        return json.loads(self.penstock("status", "--json", *words).out)

    def start_endless(self, spec=ENDLESS, faults=False):
        run = self.start(spec, faults=faults)
        self.wait_for_state("running")
        return run

    def cancel_and_wait(self, run):
        self.penstock("cancel")
        self.assert_code(run, 143)


class Listed(RunsTestCase):
    def test_are_all_runs_the_newest_first(self):
        first = self.run_to_end(DEMO).path
        (first / "plan.json").touch()
        second, _ = self.run_to_end(line_of(stage("producer", "records", total_batches=1),
                                            stage("consumer", "csv_sink", output="/no/such/folder/x.csv")), code=2)
        listed = json.loads(self.penstock("list", "--json").out)

        self.assertEqual({(each["run"], each["state"], each["exit_code"]) for each in listed},
                         {(first.name, "completed", 0), (second.path.name, "failed", 2)})
        self.assertIn(first.name, self.penstock("list").out)

    def test_is_nothing_where_nothing_is(self):
        self.assertEqual(self.penstock("list", "--json").out, "[]\n")
        self.assertIn("no runs in", self.penstock("list").out)

    def test_are_runs_whose_status_cannot_be_read(self):
        folder = self.run_to_end(DEMO).path
        # A run of which nothing tells how it ended is lost as its coordinator is gone.
        for make, state in ((lambda path: path.write_text("[" * 200_000), "unknown"),
                            (lambda path: path.mkdir(), "lost"), (os.mkfifo, "lost")):
            status = folder / "status.json"
            status.rmdir() if status.is_dir() else status.unlink()
            make(status)
            self.assertEqual([each["state"] for each in json.loads(self.penstock("list", "--json").out)], [state])

    def test_are_runs_whose_files_are_broken(self):
        folder = self.run_to_end(DEMO).path
        (folder / "status.json").write_text('{"state": "comp')

        listed = json.loads(self.penstock("list", "--json").out)

        self.assertEqual([each["state"] for each in listed], ["unknown"])
        self.assertIn("broken", listed[0]["note"])


class Status(RunsTestCase):
    def test_is_that_of_the_newest_run_or_of_the_named_one(self):
        folder = self.run_to_end(DEMO).path
        by_default = self.status_of()

        self.assertEqual((by_default["run"], by_default["state"]), (folder.name, "completed"))
        self.assertEqual(by_default["channels"], RunFolder(folder).status["channels"])
        for word in (folder.name, folder.name[:-2], str(folder), f"{folder}/"):
            self.assertEqual(self.status_of(word)["run"], folder.name)
        text = self.penstock("status", "--instances").out
        for expected in ("completed, exit code 0", "producer", "100000 records", "processor.1", "rank 3"):
            self.assertIn(expected, text)

    def test_says_which_runs_there_are_when_there_is_none_of_that_name(self):
        self.assertIn("there is no run in", self.penstock("status", code=2).err)
        folder = self.run_to_end(DEMO).path
        self.assertIn('there is no run "other"', self.penstock("status", "other", code=2).err)
        self.assertIn(folder.name, self.penstock("status", "other", code=2).err)

    def test_of_a_run_under_way_moves_on_until_it_is_over(self):
        run = self.start_endless()
        watch = self.start_command([program(), "status", "--watch", "--json", "--runs-dir", self.runs_dir])
        wait_until(lambda: watch.out.count("\n") > 0, "a first status")
        self.cancel_and_wait(run)

        self.assert_code(watch, 0)
        states = [json.loads(line)["state"] for line in watch.out.splitlines()]
        self.assertEqual((states[0], states[-1]), ("running", "cancelled"))

    def test_of_a_run_whose_coordinator_was_killed_is_lost(self):
        run = self.start_endless()
        run.popen.send_signal(signal.SIGKILL)
        run.wait()
        wait_until(run.is_gone, "its instances have ended too")

        status = self.status_of()

        self.assertEqual(status["state"], "lost")
        self.assertIn("is gone and has not said how the run ended", status["note"])

    def test_of_a_run_elsewhere_that_says_nothing_is_silent(self):
        folder = self.run_to_end(DEMO).path
        about = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**about, "world": "another machine", "host": "far"}))
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps({**status, "state": "running"}))
        self.assertEqual(self.status_of()["state"], "running")
        for path in folder.iterdir():
            if path.is_file():
                self.age(path)

        status = self.status_of()

        self.assertEqual(status["state"], "silent")
        self.assertIn("of far", status["note"])

    @staticmethod
    def age(path):
        os.utime(path, (1_600_000_000, 1_600_000_000))


class Hostile(RunsTestCase):
    """A run directory is another user's, who may write what they like."""

    def change(self, path, **values):
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    def test_text_does_not_steer_the_terminal(self):
        folder = self.run_to_end(DEMO).path
        status = json.loads((folder / "status.json").read_text())
        status["stages"][0].update(name="fake\nlines", counters={"\x1b[1m": 1})
        self.change(folder / "status.json", state="failed", error="why\x1b[2J\u009b2J\nnext", stages=status["stages"])
        self.change(folder / "run.json", pipeline="\x1b]0;title\x07", host="\x1b[7m")

        for words in (("status",), ("status", "--instances"), ("list",)):
            shown = self.penstock(*words).out
            self.assertEqual([c for c in shown if ord(c) < 32 and c != "\n" or 0x7f <= ord(c) < 0xa0], [], words)
        self.assertIn("why\\x1b[2J\\x9b2J\nnext", self.penstock("status").out)
        self.assertIn("fake\\x0alines", self.penstock("status").out)

    @unittest.skipUnless(os.geteuid() == 0 and shutil.which("setpriv"), "only root can be somebody else")
    def test_of_another_user_cannot_be_read(self):
        folder = self.run_to_end(DEMO).path
        nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        run = self.start_command([*nobody, program(), "status", folder], cwd="/")
        self.assert_code(run, 2)
        self.assertIn("cannot be read: Permission denied; a run directory is its owner's alone", run.err)

    def test_numbers_are_none(self):
        folder = self.run_to_end(DEMO).path
        status = json.loads((folder / "status.json").read_text())
        for each in status["channels"]:
            each.update(bytes=1e300, published=-3)
        self.change(folder / "status.json", exit_code=1e300, elapsed_s=-1, channels=status["channels"])

        self.assertEqual(self.penstock("status", "--exit-code").out, "1\n")
        self.assertNotRegex(self.penstock("status").out, r"\d{15}")

    def test_pipes_are_not_waited_for(self):
        run = self.start_endless()
        folder = self.only_folder().path
        for path in (folder / "peers" / "producer.0.json", folder / "plan.json"):
            path.unlink()
            os.mkfifo(path)
        self.assertIn("does not say where the instance is",
                      self.command("exec", "--runs-dir", self.runs_dir, "--stage", "producer", "--", "true").err)
        self.cancel_and_wait(run)
        self.assertIn("plan.json of", self.penstock("collect", "--output-dir", self.folder / "c", code=2).err)

    def test_that_was_removed_while_it_went_on_has_failed(self):
        run = self.start_endless()
        shutil.rmtree(self.only_folder().path)
        run.send(signal.SIGTERM)

        self.assert_code(run, 1)
        self.assertIn("was removed while the run went on; what was written there is lost", run.err)


class Cancel(RunsTestCase):
    def test_drains_and_waits_for_the_end(self):
        run = self.start_endless()

        said = self.penstock("cancel").out

        self.assert_code(run, 143)
        self.assertIn("cancelled", said)
        folder = self.folder_of(run)
        self.assert_demo_rows(folder.result(), range(folder.counter("producer", "records")))
        self.assertIn("Asked through the run directory to stop", folder.messages("coordinator"))
        self.assertIn("is over: cancelled", self.penstock("cancel").out)

    def test_says_so_when_a_run_does_not_drain_in_time_and_aborts_on_request(self):
        run = self.start_endless(STUCK, faults=True)
        late = self.penstock("cancel", "--timeout", "300ms", code=5)
        self.assertIn("--abort", late.err)

        self.penstock("cancel", "--abort")

        self.assert_code(run, 143)
        self.assertIn("aborted by a second signal", run.err)


class Logs(RunsTestCase):
    def test_are_merged_in_the_order_of_time(self):
        folder = self.run_to_end(DEMO)
        lines = [json.loads(line) for line in self.penstock("logs", "--json").out.splitlines()]

        self.assertEqual([each["time"] for each in lines], sorted(each["time"] for each in lines))
        labels = ("coordinator", "producer.0", "processor.0", "processor.1", "consumer.0")
        self.assertEqual(len(lines), sum(len(folder.log(label)) for label in labels))

    def test_can_be_those_of_a_stage_an_instance_a_level_or_the_last(self):
        self.run_to_end(DEMO)
        def labels(*words):
            return {json.loads(line)["label"] for line in self.penstock("logs", "--json", *words).out.splitlines()}

        self.assertEqual(labels("--stage", "processor"), {"processor.0", "processor.1"})
        self.assertEqual(labels("--stage", "processor", "--instance", "1"), {"processor.1"})
        self.assertEqual(labels("--stage", "coordinator"), {"coordinator"})
        self.assertEqual(labels("--level", "error"), set())
        self.assertEqual(len(self.penstock("logs", "--last", "3").out.splitlines()), 3)
        self.assertIn("there are: ", self.penstock("logs", "--stage", "none", code=2).err)

    def test_are_in_order_and_of_their_level_however_a_line_is_written(self):
        folder = self.run_to_end(DEMO).path
        for log in (folder / "logs").iterdir():
            log.unlink()
        (folder / "logs" / "a.0.jsonl").write_text(
            '{"time":"2026-01-02T03:04:05Z","level":"info","label":"a.0","message":"one"}\n'
            '{"time":"2026-01-02T03:04:08Z","level":"error","label":"a.0","message":"four \\"level\\":\\"info\\""}\n')
        (folder / "logs" / "b.0.jsonl").write_text(
            '{"message": "two", "level": "warn", "label": "b.0", "time": "2026-01-02T03:04:06Z"}\n'
            '{"time":"2026-01-02T03:04:07Z","level":"loud","label":"b.0","message":"three"}\n')

        self.assertEqual([line.split("  ")[1] for line in self.penstock("logs").out.splitlines()],
                         ["one", "warn: two", "three", 'error: four "level":"info"'])
        self.assertEqual([line.split("  ")[1] for line in self.penstock("logs", "--level", "warn").out.splitlines()],
                         ["warn: two", 'error: four "level":"info"'])

    def test_go_on_until_the_run_is_over(self):
        run = self.start_endless()
        follow = self.start_command([program(), "logs", "-f", "--runs-dir", self.runs_dir])
        wait_until(lambda: "Streaming" in follow.out, "the first lines")
        self.cancel_and_wait(run)

        self.assert_code(follow, 0)
        self.assertIn("Asked through the run directory to stop", follow.out)
        self.assertIn("Consumer finished:", follow.out)

    def test_of_a_line_that_never_ends_are_its_beginning(self):
        folder = self.run_to_end(DEMO)
        with open(folder.path / "logs" / "consumer.0.jsonl", "a") as log:
            log.write("z" * (3 << 20) + "\nafter\n")

        lines = self.penstock("logs", "--stage", "consumer").out.splitlines()

        self.assertIn("after", lines)
        self.assertLess(1 << 20, max(map(len, lines)))
        self.assertLess(max(map(len, lines)), 2 << 20)

    def test_show_what_a_killed_process_left_of_a_line(self):
        folder = self.run_to_end(DEMO)
        with open(folder.path / "logs" / "consumer.0.jsonl", "a") as log:
            log.write('no JSON\n{"time": "2999-01-01T00:00:00')

        lines = self.penstock("logs", "--stage", "consumer").out.splitlines()

        self.assertIn("no JSON", lines)
        self.assertEqual(lines[-1], '{"time": "2999-01-01T00:00:00')


class Collect(RunsTestCase):
    def setUp(self):
        super().setUp()
        self.collected = self.folder / "collected"

    def collect(self, *words, code=0):
        return self.penstock("collect", "--output-dir", self.collected, *words, code=code)

    def test_makes_one_file_of_those_of_all_instances(self):
        spec = line_of(stage("producer", "records", batch_size=100, total_batches=50),
                       stage("processor", "scale_records"), stage("consumer", "csv_sink", instances=3))
        self.run_to_end(spec)

        self.collect()

        self.assert_demo_rows(self.collected / "results.csv", range(5000))
        manifest = json.loads((self.collected / "collected.json").read_text())
        self.assertEqual(manifest["problems"], [])
        self.assertEqual([(each["file"], each["rows"], each["of"]) for each in manifest["files"]],
                         [("results.csv", 5000, [f"results.{i}.csv" for i in range(3)])])

    def test_copies_files_that_are_no_text_one_by_one(self):
        spec = line_of(stage("source", "vector", count=10, elements=100),
                       stage("sink", "file_sink", instances=2, output="data.bin"))
        folder = self.run_to_end(spec)

        self.collect("--stage", "sink")

        for i in range(2):
            name = f"data.{i}.bin"
            self.assertEqual((self.collected / name).read_bytes(), folder.result(name).read_bytes())

    def test_says_which_file_lacks_rows(self):
        folder = self.run_to_end(DEMO)
        whole = folder.result().read_text()
        folder.result().write_text(whole[:whole.rfind("\n", 0, -1) + 1])

        self.assertIn("results.csv has 99999 rows, but stage 'consumer' wrote 100000", self.collect(code=1).err)

    def test_refuses_results_that_would_replace_each_other(self):
        spec = {"stages": [stage("source", "records", total_batches=2), stage("one", "csv_sink", output="r.csv"),
                           stage("two", "csv_sink", instances=2, output="r.csv")],
                "channels": [channel("source", "one"), channel("source", "two")]}
        self.run_to_end(spec)

        self.assertIn('two results would be called "r.csv"', self.collect(code=2).err)
        self.collect("--stage", "two")
        self.assert_demo_like(self.collected / "r.csv")

    def assert_demo_like(self, path):
        self.assertEqual(path.read_text().count("\n"), 2001)

    def test_counts_lines_of_json_as_they_are(self):
        spec = line_of(stage("source", "csv_source", input=str(self.folder / "in.csv"), header=False),
                       stage("sink", "jsonl_sink", output="o.jsonl"))
        (self.folder / "in.csv").write_text('1,"5"" disk"\n2,"x"\n')
        self.run_to_end(spec)

        self.collect()

        self.assertEqual((self.collected / "o.jsonl").read_text().count("\n"), 2)

    def test_leaves_links_alone(self):
        folder = self.run_to_end(DEMO)
        (folder.path / "results" / "passwd").symlink_to("/etc/passwd")
        (folder.path / "results" / "loop").symlink_to("loop")

        self.collect()

        self.assertEqual(sorted(path.name for path in self.collected.iterdir()), ["collected.json", "results.csv"])

    def test_overwrites_on_request_only(self):
        self.run_to_end(DEMO)
        self.collect()

        self.assertIn("--force", self.collect(code=2).err)
        self.collect("--force")

    def test_waits_for_the_end_of_the_run(self):
        run = self.start_endless()
        self.assertIn("is running; wait for its end", self.collect(code=2).err)
        self.cancel_and_wait(run)

        self.assertIn("is cancelled", self.collect().err)

    def test_refuses_unknown_stages_and_folders_that_cannot_be(self):
        self.run_to_end(DEMO)
        self.assertIn("it has: producer, processor, consumer", self.collect("--stage", "x", code=2).err)
        self.assertIn("no results", self.collect("--stage", "producer", code=2).err)
        (self.folder / "collected").write_text("a file")
        self.assertIn("cannot make the folder", self.collect(code=2).err)


if __name__ == "__main__":
    unittest.main()
