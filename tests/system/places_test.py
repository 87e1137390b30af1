"""Where runs and results may lie."""

import signal
import unittest

from penstock_runs import DEMO, RunTestCase, line_of, stage


def small(output):
    return line_of(stage("producer", "records", batch_size=10, total_batches=10), stage("processor", "scale_records"),
                   stage("consumer", "csv_sink", output=output))


class Places(RunTestCase):
    def test_for_results_are_no_two_stages_the_same(self):
        spec = line_of(stage("producer", "records", batch_size=10, total_batches=10), stage("one", "csv_sink"))
        spec["stages"].append(stage("other", "csv_sink"))
        spec["channels"].append({"from": "producer", "to": "other"})
        _, said = self.run_to_end(spec, code=2)

        self.assertIn("is being written by another stage or run", said)

    def test_for_results_may_be_an_older_file_that_is_written_anew(self):
        path = self.folder / "kept.csv"
        for _ in range(2):
            self.run_to_end(small(str(path)))
        self.assert_demo_rows(path, range(100))

    def test_for_runs_hold_two_runs_at_once(self):
        runs = [self.start(DEMO), self.start(DEMO)]
        for run in runs:
            self.assert_code(run, 0)

        folders = [self.folder_of(run) for run in runs]
        self.assertEqual(sorted(self.runs_dir.iterdir()), sorted(folder.path for folder in folders))
        self.assertEqual(len(set(self.runs_dir.iterdir())), 2)
        for folder in folders:
            self.assert_demo_rows(folder.result(), range(100_000))

    def test_for_runs_may_have_spaces_and_quotes_and_be_new(self):
        place = self.folder / "my 'new' runs" / "of \"today\" ü"
        folder = self.run_to_end(DEMO, runs_dir=place)

        self.assertEqual(folder.path.parent, place)
        self.assert_demo_rows(folder.result(), range(100_000))

    def test_for_runs_are_relative_to_where_the_program_was_started(self):
        run = self.command("run", self.write(small("results.csv")), "--set", "producer.total_batches=1")
        self.assert_code(run, 0)

        folder = self.folder_of(run)
        self.assertEqual(folder.path.parent, self.folder / "runs")
        self.assert_demo_rows(folder.result(), range(10))

    def test_for_results_are_absolute_when_the_file_says_so(self):
        place = self.folder / "else where.csv"
        folder = self.run_to_end(small(str(place)))

        self.assert_demo_rows(place, range(100))
        self.assertEqual(list(folder.result().parent.iterdir()), [])

    def test_for_results_do_not_climb_out_of_the_run_directory(self):
        _, said = self.run_to_end(small("../../stolen.csv"), code=2)

        self.assertIn("'../../stolen.csv' climbs out of the results with '..'; write an absolute path instead", said)
        self.assertEqual(list(self.folder.rglob("stolen.csv")), [])

    def test_for_results_that_are_missing_are_named(self):
        place = self.folder / "missing" / "results.csv"
        _, said = self.run_to_end(small(str(place)), code=2)

        self.assertIn(str(place), said)
        self.assertIn("No such file or directory", said)
        self.assertIn("consumer.0", said)

    def test_for_runs_that_are_a_file_are_refused(self):
        place = self.folder / "taken"
        place.write_text("")
        run = self.start(DEMO, runs_dir=place)

        self.assert_code(run, 2)
        self.assertIn(str(place), run.err)
        self.assertIn("--runs-dir", run.err)


class Empty(RunTestCase):
    def test_streams_leave_the_header(self):
        spec = line_of(stage("source", "pattern", pause="1h"), stage("middle", "pass"), stage("consumer", "csv_sink"))
        run = self.start(spec)
        self.wait_for_state("running")
        run.send(signal.SIGTERM)

        self.assert_code(run, 143)
        self.assertEqual(self.folder_of(run).result().read_text(), "record_id,value,timestamp\n")


if __name__ == "__main__":
    unittest.main()
