"""Files in and out between real processes: every row once, whoever read it."""

import csv
import json
import random
import resource
import signal
import struct
import unittest

from penstock_runs import SOURCE, RunTestCase, channel, line_of, stage


def may_not_write_files_beyond(size_bytes):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
    return limit


def objects_of(folder, name, instances):
    """The JSON lines that all instances wrote to result files of that name."""
    stem, suffix = name.rsplit(".", 1)
    names = [name] if instances == 1 else [f"{stem}.{i}.{suffix}" for i in range(instances)]
    return [json.loads(text) for each in names for text in folder.result(each).read_text().splitlines()]


class Files(RunTestCase):
    def write_rows(self, rows, header=("id", "text", "value"), **dialect):
        path = self.folder / "in.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, **dialect)
            writer.writerow(header)
            writer.writerows(rows)
        return path

    def random_rows(self, count):
        choose = random.Random(count)
        letters = ["a", "\u00e9", ",", '"', "\n", "\r\n", " ", ";"]
        return [(str(i), "".join(choose.choices(letters, k=choose.randrange(20))), repr(choose.uniform(-1e6, 1e6)))
                for i in range(count)]

    def test_of_rows_with_anything_in_them_are_shared_by_four_sources(self):
        rows = self.random_rows(20_000)
        path = self.write_rows(rows)
        spec = {"stages": [stage("source", "csv_source", instances=4, input=str(path), batch_rows=300),
                           stage("rows", "csv_sink", header="id,text,value"),
                           stage("objects", "jsonl_sink", instances=2)],
                "channels": [channel("source", "rows"), channel("source", "objects")]}
        folder = self.run_to_end(spec)

        with open(folder.result(), newline="", encoding="utf-8") as file:
            written = [tuple(row) for row in csv.reader(file)]
        self.assertEqual(written[0], ("id", "text", "value"))
        self.assertEqual(sorted(written[1:]), sorted(rows))
        objects = objects_of(folder, "results.jsonl", 2)
        found = sorted((str(each["id"]), each["text"] or "", each["value"]) for each in objects)
        # A text that looks like a number or is empty would not be one: there are none but the empty ones.
        self.assertEqual(found, sorted((a, b, float(c)) for a, b, c in rows))
        self.assertEqual(folder.counter("source", "records"), 20_000)
        self.assertTrue(all(count > 0 for count in folder.instance_counters("source", "records")))

    def test_of_numbers_come_as_tensors(self):
        rows = self.random_rows(5_000)
        path = self.write_rows(rows, delimiter=";")
        spec = line_of(stage("source", "csv_source", instances=3, input=str(path), delimiter=";", output="numbers",
                             columns=["value", "id"]),
                       stage("sink", "file_sink"))
        blob = self.run_to_end(spec).result("results.bin").read_bytes()

        self.assertEqual(sorted(struct.iter_unpack("=dd", blob)), sorted((float(c), float(a)) for a, _, c in rows))

    def test_with_bad_rows_leave_them_in_dead_letters(self):
        path = self.write_rows([(i, "x", "y") if i % 10 == 0 else (i, "x", i) for i in range(1000)])
        spec = line_of(stage("source", "csv_source", instances=4, input=str(path), types=["i64", "text", "f64"],
                             dead_letter="bad.jsonl"),
                       stage("sink", "csv_sink", header="id,text,value"))
        folder = self.run_to_end(spec)

        self.assertEqual(folder.counter("source", "malformed"), 100)
        letters = objects_of(folder, "bad.jsonl", 4)
        self.assertEqual([each["record"] for each in letters], [f"{i},x,y" for i in range(0, 1000, 10)])
        self.assertEqual([each["line"] for each in letters], [i + 2 for i in range(0, 1000, 10)])
        content = path.read_bytes()
        for each in letters:
            self.assertEqual(each["file"], str(path))
            self.assertTrue(content[each["byte"]:].startswith(each["record"].encode()), each)
        self.assertEqual(len(folder.result().read_text().splitlines()), 901)

    def test_that_are_raw_are_put_together_in_order(self):
        path = self.folder / "in.bin"
        path.write_bytes(random.Random(1).randbytes(1_000_003))
        spec = line_of(stage("source", "file_source", instances=3, input=str(path), block=10_000),
                       stage("pass", "pass", instances=2), stage("sink", "file_sink", ordered=True))
        folder = self.run_to_end(spec)

        self.assertEqual(folder.result("results.bin").read_bytes(), path.read_bytes())

    def test_that_are_missing_or_empty_fail_the_run_with_their_name(self):
        empty = self.folder / "empty.csv"
        empty.touch()
        for path, reason in ((self.folder / "missing.csv", "No such file or directory"), (empty, "is empty")):
            for operator in ("csv_source", "file_source"):
                if operator == "file_source" and path == empty:
                    continue  # no bytes are no error
                with self.subTest(path=path.name, operator=operator):
                    run = self.start(line_of(stage("source", operator, instances=2, input=str(path)),
                                             stage("sink", "null")))
                    self.assert_code(run, 2)
                    self.assertIn(str(path), run.err)
                    self.assertIn(reason, run.err)

    def test_on_a_full_disk_end_with_whole_objects(self):
        path = self.write_rows([(i, "x" * 400, i) for i in range(50_000)])
        spec = line_of(stage("source", "csv_source", input=str(path), batch_rows=100), stage("sink", "jsonl_sink"))
        # More than the memory of an instance, which is a file too.
        run = self.start(spec, "--arena-mib", "4", preexec=may_not_write_files_beyond(16 << 20))
        self.assert_code(run, 4)

        self.assertIn("it keeps what was complete", run.err)
        objects = objects_of(self.only_folder(), "results.jsonl", 1)
        self.assertEqual(len(objects) % 100, 0)
        self.assertGreater(len(objects), 0)

    def test_job_runs_as_it_is(self):
        folder = self.run_to_end(SOURCE / "jobs" / "csv-to-numbers.json", cwd=SOURCE)

        objects = objects_of(folder, "kelvin.jsonl", 1)
        values = sorted(value for each in objects for value in each["values"])
        with open(SOURCE / "jobs" / "data" / "measurements.csv", newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        good = [float(row["celsius"]) + 273.15 for row in rows if row["celsius"] != "offline"]
        self.assertEqual([round(value, 6) for value in values], sorted(round(value, 6) for value in good))
        self.assertEqual(folder.counter("source", "malformed"), len(rows) - len(good))
        letters = [each for i in range(2) for each in objects_of(folder, f"bad-rows.{i}.jsonl", 1)]
        self.assertEqual(len(letters), len(rows) - len(good))


if __name__ == "__main__":
    unittest.main()
