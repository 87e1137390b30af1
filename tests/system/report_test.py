"""`penstock report`: a page about a run that went well, that goes on, that crashed, and where it may be written."""

import html.parser
import os
import signal
import unittest

from penstock_runs import DEMO, RunTestCase, line_of, stage, wait_until

ENDLESS = line_of(stage("producer", "records", batch_size=100, total_batches=0, interval="1ms"), stage("consumer", "csv_sink"))


class Page(html.parser.HTMLParser):
    """What a browser would see of it."""

    NOT_CLOSED = {"meta", "rect", "path", "br"}

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.errors = [], [], "", []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, _):
        self.tags.append(tag)
        if tag not in self.NOT_CLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in self.NOT_CLOSED:
            return
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data):
        self.text += data


class Report(RunTestCase):
    def report(self, *words, code=0):
        run = self.command("report", *words, "--runs-dir", self.runs_dir)
        self.assertEqual(run.wait(), code, run.err)
        return run

    def page(self, *words):
        page = Page(self.report("--output", "-", *words).out)
        self.assertEqual((page.errors, page.open), ([], []), "every element is closed")
        self.assertNotIn("script", page.tags)
        return page

    def test_shows_a_run_that_went_well(self):
        self.run_to_end(DEMO, env={"PENSTOCK_MARK_OF_THE_TEST": "<b>", "PENSTOCK_TOKEN": "do not tell"})

        page = self.page()

        self.assertEqual(page.tags.count("svg"), 4, "graph, timeline, times, latencies")
        for expected in ("completed", "exit code 0", "producer-processor", "100000", "processor.1", "results.csv", "local processes",
                         "None in the logs", "shm", "penstock 0.", "PENSTOCK_MARK_OF_THE_TEST", "<b>"):
            self.assertIn(expected, page.text)
        self.assertNotIn("do not tell", page.text)

    def test_shows_a_run_that_failed_and_where(self):
        self.run_to_end(line_of(stage("producer", "records", total_batches=1),
                                stage("consumer", "csv_sink", output="/no/such/folder/x.csv")), code=2)

        page = self.page()

        self.assertIn("failed", page.text)
        self.assertIn("/no/such/folder", page.text)
        self.assertIn("error", page.text)

    def test_shows_a_run_under_way_and_one_whose_coordinator_was_killed(self):
        run = self.start(ENDLESS)
        self.wait_for_state("running")
        self.assertIn("The run goes on", self.page().text)
        run.popen.send_signal(signal.SIGKILL)
        run.wait()
        wait_until(run.is_gone, "its instances have ended too")

        page = self.page()

        self.assertIn("lost", page.text)
        self.assertIn("is gone and has not said how the run ended", page.text)

    def test_is_written_into_the_directory_of_the_run_or_where_it_is_asked_to(self):
        folder = self.run_to_end(DEMO).path
        self.assertEqual(self.report().out, f"{folder}/report.html\n")
        self.assertEqual((folder / "report.html").stat().st_mode & 0o777, 0o600)
        target = self.folder / "page.html"
        target.write_text("old")

        self.report(folder.name, "-o", target)

        self.assertIn("streaming-demo", target.read_text())
        self.assertEqual(sorted(folder.glob("report*")), [folder / "report.html"])

    def test_replaces_no_file_of_a_run(self):
        folder = self.run_to_end(DEMO).path
        (self.folder / "link").symlink_to(folder / "status.json")
        for output in (folder / "status.json", folder / "results" / "results.csv", folder / "logs" / "coordinator.jsonl",
                       folder / "results" / ".." / "plan.json", self.folder / "link"):
            with self.subTest(output=output):
                before = output.read_bytes()
                self.assertIn("is a file of the run itself", self.report("-o", output, code=2).err)
                self.assertEqual(output.read_bytes(), before)
        self.report("-o", folder / "page.html")
        self.report()
        self.report()

    def test_is_refused_where_it_cannot_be_written(self):
        self.run_to_end(DEMO)
        os.mkfifo(self.folder / "pipe")
        for output, words in ((self.folder / "pipe", "is no file"), (self.folder, "is no file"),
                              (self.folder / "no" / "page.html", "--output")):
            with self.subTest(output=output):
                self.assertIn(words, self.report("--output", output, code=2).err)
        self.assertIn("there is no run", self.report("other", code=2).err)


if __name__ == "__main__":
    unittest.main()
