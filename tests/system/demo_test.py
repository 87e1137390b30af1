"""The shipped jobs, run by local processes."""

import re
import stat
import unittest

from penstock_runs import DEMO, FAN_OUT, RunTestCase, line_of, stage


class Demo(RunTestCase):
    def test_writes_each_of_100000_records_once_with_three_times_its_id(self):
        folder = self.run_to_end(DEMO)

        self.assert_demo_rows(folder.result(), range(100_000))

    def test_shares_the_records_between_the_processors_and_counts_all_of_them(self):
        folder = self.run_to_end(DEMO)

        self.assertEqual([folder.counter(name, "records") for name in ("producer", "processor", "consumer")],
                         [100_000] * 3)
        self.assertEqual(sum(folder.instance_counters("processor", "records")), 100_000)
        for name in ("producer-processor", "processor-consumer"):
            found = folder.channel(name)
            self.assertEqual([found[key] for key in ("published", "delivered", "settled", "dropped")],
                             [100, 100, 100, 0])

    def test_gives_every_processor_all_records_when_the_route_is_broadcast(self):
        folder = self.run_to_end(FAN_OUT)

        self.assert_demo_rows(folder.result(), range(100_000), times=2)
        self.assertEqual(folder.instance_counters("processor", "records"), [100_000, 100_000])

    def test_runs_however_an_idle_process_waits(self):
        for idle in ("adaptive", "spin", "block"):
            folder = self.run_to_end(DEMO, "--idle", idle, "--set", "producer.interval=1ms",
                                     "--set", "producer.batch_size=10")
            self.assert_demo_rows(folder.result(), range(1000))

    def test_says_what_the_streaming_example_says(self):
        folder = self.run_to_end(DEMO)

        producer = folder.messages("producer.0")
        self.assertEqual(producer[:2], ["Expecting 2 downstream consumers",
                                        "All consumers connected. Streaming 100 batches..."])
        sent = [text for text in producer if text.startswith("Sent batch")]
        self.assertEqual([re.match(r"Sent batch (\d+)/100 \(\d+ records/sec\)$", text)[1] for text in sent],
                         [str(number) for number in range(10, 101, 10)])
        self.assertEqual(producer[-2], "Streaming complete. Closing connections...")
        self.assertRegex(producer[-1], r"^Sent 100000 records in \d+\.\d+s \(\d+ records/sec\)$")

        batches = 0
        for label in ("processor.0", "processor.1"):
            said = folder.messages(label)
            batches += int(re.match(r"Finished processing (\d+) batches?$", said[-1])[1])
            self.assertEqual(len([text for text in said if re.match(r"Received \d+0 batches from upstream$", text)]),
                             len([text for text in said if re.match(r"Processed and forwarded \d+0 batches$", text)]))
        self.assertEqual(batches, 100)

        consumer = folder.messages("consumer.0")
        progress = re.compile(r"Received (\d+) batches, (\d+) records \(\d+ records/sec\)$")
        received = [progress.match(text) for text in consumer[:10]]
        self.assertEqual([(int(each[1]), int(each[2])) for each in received],
                         [(number, 1000 * number) for number in range(10, 101, 10)])
        self.assertEqual(consumer[10:13], ["Consumer finished:", "  Total batches: 100", "  Total records: 100000"])
        self.assertRegex(consumer[13], r"^  Duration: \d+\.\d+s$")
        self.assertRegex(consumer[14], r"^  Rate: \d+ records/sec$")
        self.assertEqual(consumer[15], f"  Output: {folder.result()}")

    def test_shows_people_the_same_lines_on_standard_error(self):
        run = self.start(DEMO)
        self.assert_code(run, 0)
        folder = self.folder_of(run)

        lines = run.err.splitlines()
        for label in ("coordinator", "producer.0", "processor.0", "processor.1", "consumer.0"):
            found = [re.match(rf"\d\d:\d\d:\d\d\.\d\d\d {re.escape(label)}  (.*)$", line) for line in lines]
            self.assertEqual([each[1] for each in found if each], folder.messages(label), label)


class RunDirectory(RunTestCase):
    def test_is_complete(self):
        folder = self.run_to_end(DEMO)

        labels = ["consumer.0", "processor.0", "processor.1", "producer.0"]
        found = sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*") if path.is_file())
        self.assertEqual(found, sorted(["plan.json", "run.json", "status.json", "stats.json", "results/results.csv",
                                        "logs/coordinator.jsonl", *(f"logs/{label}.jsonl" for label in labels),
                                        *(f"peers/{label}.json" for label in labels)]))

    def test_is_for_its_owner_only(self):
        folder = self.run_to_end(DEMO)

        def mode(path):
            return stat.S_IMODE(path.stat().st_mode)
        for path in [folder.path, *folder.path.rglob("*")]:
            if path.is_dir():
                self.assertEqual(mode(path), 0o700, path)
            elif path.parent.name != "results":  # inside a folder that nobody else can enter
                self.assertEqual(mode(path), 0o600, path)

    def test_tells_how_the_run_ended(self):
        folder = self.run_to_end(DEMO)

        status = folder.status
        self.assertEqual((status["state"], status["exit_code"], status["error"]), ("completed", 0, ""))
        self.assertEqual(status["run_dir"], str(folder.path))
        self.assertEqual({each["state"] for entry in status["stages"] for each in entry["instances"]}, {"done"})
        self.assertEqual(status, folder.stats)

    def test_tells_the_plan_that_was_run(self):
        folder = self.run_to_end(DEMO, "--set", "processor.instances=3")

        plan = folder.json("plan.json")
        self.assertEqual((plan["pipeline"], plan["processes"]), ("streaming-demo", 6))
        self.assertEqual([entry["stage"] for entry in plan["ranks"]],
                         ["coordinator", "producer", "processor", "processor", "processor", "consumer"])

    def test_tells_every_instance_its_peers(self):
        folder = self.run_to_end(DEMO, "--bind", "none")

        peers = folder.json("peers/processor.1.json")
        self.assertEqual((peers["pipeline_id"], peers["stage_id"], peers["stage_index"], peers["instance_index"]),
                         ("streaming-demo", "processor", 1, 1))
        self.assertEqual([entry["index"] for entry in peers["stage_peers"]], [0, 1])
        self.assertEqual(list(peers["upstream_stages"]), ["producer"])
        self.assertEqual(list(peers["downstream_stages"]), ["consumer"])
        self.assertEqual(list(peers["all_stages"]), ["producer", "processor", "consumer"])
        everybody = [peer for stage_peers in peers["all_stages"].values() for peer in stage_peers]
        self.assertEqual([peer["rank"] for peer in everybody], [1, 2, 3, 4])
        self.assertEqual(len({peer["instance_id"] for peer in everybody}), 4)
        for peer in everybody:
            self.assertEqual(set(peer), {"stage_id", "stage_index", "instance_id", "private_ip", "dns_name", "state",
                                         "index", "rank", "node", "transport"})
            self.assertEqual((peer["state"], peer["transport"]), ("running", "shm"))

    def test_has_logs_with_time_level_and_label_in_each_line(self):
        folder = self.run_to_end(DEMO)

        for label in ("coordinator", "producer.0", "processor.0", "processor.1", "consumer.0"):
            lines = folder.log(label)
            self.assertGreater(len(lines), 2, label)
            for line in lines:
                self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
                self.assertEqual((line["level"], line["label"]), ("info", label))


class Settings(RunTestCase):
    def test_change_parameters_and_instances(self):
        folder = self.run_to_end(DEMO, "--set", "producer.total_batches=7", "--set", "producer.batch_size=11",
                                 "--set", "processor.instances=1", "--set", "processor.factor=2")

        self.assert_demo_rows(folder.result(), range(77))

    def test_of_a_stage_environment_stand_in_for_parameters(self):
        spec = line_of(stage("producer", "records", env={"BATCH_SIZE": "13", "TOTAL_BATCHES": 3}),
                       stage("processor", "scale_records"), stage("consumer", "csv_sink"))

        self.assert_demo_rows(self.run_to_end(spec).result(), range(39))

    def test_as_parameters_beat_the_environment(self):
        spec = line_of(stage("producer", "records", env={"BATCH_SIZE": "13"}, batch_size=5, total_batches=2),
                       stage("processor", "scale_records"), stage("consumer", "csv_sink"))

        self.assert_demo_rows(self.run_to_end(spec).result(), range(10))

    def test_that_break_the_environment_are_refused_by_name(self):
        spec = line_of(stage("producer", "records", env={"BATCH_SIZE": "many"}), stage("consumer", "csv_sink"))
        run = self.start(spec)

        self.assert_code(run, 2)
        self.assertIn("BATCH_SIZE", run.err)
        self.assertIn("many", run.err)

    def test_print_the_statistics_as_json_when_asked(self):
        run = self.start(DEMO, "--json", "--no-progress")
        self.assert_code(run, 0)

        self.assertEqual(run.out.strip(), (self.only_folder().path / "stats.json").read_text().strip())


if __name__ == "__main__":
    unittest.main()
