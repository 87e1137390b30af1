"""GPU telemetry from CSV files through streamers and collectors into HDF5, and found again by the program."""

import csv
import io
import json
import signal
import unittest

from penstock_runs import SOURCE, RunTestCase, channel, stage, wait_until

JOB = SOURCE / "jobs" / "telemetry.json"
SAMPLE = SOURCE / "jobs" / "data" / "dcgm-sample.csv"


class Telemetry(RunTestCase):
    def generated(self, *options):
        path = self.folder / "metrics.csv"
        self.assert_code(self.command("telemetry", "generate", path, *options), 0)
        with open(path, newline="") as file:
            return path, list(csv.DictReader(file))

    def query(self, *words):
        run = self.command("telemetry", "query", *words)
        self.assert_code(run, 0)
        return list(csv.DictReader(io.StringIO(run.out)))

    def assert_all_found(self, source, rows):
        found = [(row["timestamp"], row["gpu_uuid"], row["metric_name"], float(row["value"])) for row in self.query(*source)]
        wanted = [(row["timestamp"], row["uuid"], row["metric_name"], float(row["value"])) for row in rows]
        self.assertTrue(sorted(found) == sorted(wanted), f"{len(found)} values instead of {len(wanted)}")
        self.assertEqual(len(set(found)), len(found))

    def pipeline(self, path, instances=4, collectors=2, output="telemetry.h5", **params):
        params = {"csv_path": str(path), "interval": 0, "loop": False, "time_source": "csv", **params}
        return {"stages": [stage("streamer", "telemetry_streamer", instances, **params),
                           stage("collector", "telemetry_collector", collectors, output=output)],
                "channels": [channel("streamer", "collector", route="hash", key="gpu_uuid")]}

    def test_job_runs_as_it_is(self):
        folder = self.run_to_end(JOB, cwd=SOURCE)

        with open(SAMPLE, newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(folder.counter("streamer", "rows_sent"), len(rows))
        self.assertEqual(len(self.query(folder.path)), len(rows))
        gpus = json.loads(self.command("telemetry", "gpus", folder.path, "--format", "json").out)
        self.assertEqual({gpu["uuid"] for gpu in gpus}, {row["uuid"] for row in rows})
        self.assertEqual({gpu["hostname"] for gpu in gpus}, {row["Hostname"] for row in rows})

    def test_loses_nothing_and_keeps_each_gpu_with_one_collector(self):
        path, rows = self.generated("--gpus", "20", "--times", "100")
        for rows_per_message in (1, 64):
            folder = self.run_to_end(self.pipeline(path, rows_per_message=rows_per_message))
            self.assert_all_found([folder.path], rows)
            each = [{row["gpu_uuid"] for row in self.query(file)} for file in folder.path.glob("results/*.h5")]
            self.assertEqual(len(each), 2)
            self.assertEqual(each[0] & each[1], set())

    def test_goes_on_with_a_file_and_stores_nothing_twice(self):
        path, rows = self.generated("--gpus", "3", "--times", "50", "--no-labels")
        pipeline = self.pipeline(path, collectors=1, output=str(self.folder / "kept.h5"))
        for expected in (len(rows), 0):
            folder = self.run_to_end(pipeline)
            self.assertEqual(folder.counter("collector", "records"), expected)
        self.assert_all_found([self.folder / "kept.h5"], rows)

    def test_is_found_by_gpu_metric_and_time(self):
        path, rows = self.generated("--gpus", "4", "--times", "20")
        folder = self.run_to_end(self.pipeline(path))
        gpu, metric = rows[5]["uuid"], rows[5]["metric_name"]
        times = sorted({row["timestamp"] for row in rows})

        found = self.query(folder.path, "--gpu", gpu, "--metric", metric, "--from", times[5], "--to", times[15])

        self.assertEqual([row["timestamp"] for row in found], times[5:15])
        self.assertEqual({(row["gpu_uuid"], row["metric_name"]) for row in found}, {(gpu, metric)})
        wrong = self.command("telemetry", "query", folder.path, "--from", "yesterday")
        self.assert_code(wrong, 2)
        self.assertIn("RFC 3339", wrong.err)
        path.write_text("no HDF5")
        wrong = self.command("telemetry", "query", path)
        self.assert_code(wrong, 2)
        self.assertEqual(wrong.out, "")

    def test_counts_bad_rows_and_says_where_they_are(self):
        path, rows = self.generated("--gpus", "2", "--times", "3", "--no-labels")
        with open(path, "a") as file:
            file.write("a,b\n" + path.read_text().splitlines()[1].replace(rows[0]["uuid"], "") + "\n")

        folder = self.run_to_end(self.pipeline(path, instances=1))

        self.assertEqual(folder.counter("streamer", "errors"), 2)
        said = "\n".join(folder.messages("streamer.0"))
        self.assertIn(f"row {len(rows) + 2}", said)
        self.assertIn("missing required fields: uuid or metric_name", said)
        self.assert_all_found([folder.path], rows)

    def test_streams_in_a_loop_until_it_is_stopped_and_drains(self):
        path, rows = self.generated("--gpus", "2", "--times", "2", "--no-labels")
        run = self.start(self.pipeline(path, instances=1, interval="1ms", loop=True, time_source="ingest"))
        self.wait_for_state("running")
        wait_until(lambda: any("rows_sent" in text for text in map(str, self.only_folder().status["stages"])), "rows are sent")

        run.send(signal.SIGTERM)

        self.assert_code(run, 143)
        folder = self.folder_of(run)
        self.assertEqual(folder.counter("streamer", "rows_sent"), folder.counter("collector", "records"))
        self.assertEqual(folder.messages("streamer.0")[-1], "Telemetry streamer shut down gracefully")

    def test_names_the_missing_column(self):
        path = self.folder / "wrong.csv"
        path.write_text("timestamp,metric_name,gpu_id\n")
        _, said = self.run_to_end(self.pipeline(path), code=2)
        self.assertIn("missing required column: device", said)

    def test_takes_parameters_from_the_environment_before_the_file_and_after_the_command_line(self):
        path, rows = self.generated("--gpus", "1", "--times", "2", "--no-labels")
        pipeline = self.pipeline("none.csv", instances=1, instance_id="file")
        env = {"CSV_PATH": str(path), "INSTANCE_ID": "environment"}

        folder = self.run_to_end(pipeline, env=env)
        self.assertEqual(folder.log("streamer.0")[0]["instance_id"], "environment")
        self.assert_all_found([folder.path], rows)
        folder = self.run_to_end(pipeline, "--set", "streamer.instance_id=flag", env=env)
        self.assertEqual(folder.log("streamer.0")[0]["instance_id"], "flag")
        run = self.start(pipeline, env={**env, "STREAM_INTERVAL": "often"})
        self.assert_code(run, 2)
        self.assertIn("STREAM_INTERVAL", run.err)


if __name__ == "__main__":
    unittest.main()
