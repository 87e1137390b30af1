"""Thresholds of transports: measured by `penstock tune`, taken by runs from a file, and said where they are from."""

import json
import os
import unittest

from hosts import hosts_for
from penstock_runs import DEMO, RunTestCase, is_built, line_of, mpiexec, program, stage

HAS_MPI = "PENSTOCK_MPIEXEC" in os.environ

# Odd, but legal: one fetch at a time, blobs out of the frame from 300 bytes on, messages of 600 bytes.
ODD = {"inline_bytes": 300, "coalesced_bytes": 600, "chunk_bytes": 70_001, "in_flight": 1}
LARGE = {"inline_bytes": 48 << 10, "coalesced_bytes": 128 << 10, "chunk_bytes": 16 << 20, "in_flight": 16}


def blobs(size, count=60):
    return line_of(stage("source", "pattern", size_bytes=size, count=count), stage("middle", "pass", instances=2),
                   stage("sink", "null"))


class TuningTestCase(RunTestCase):
    def setUp(self):
        super().setUp()
        self.file = self.folder / "thresholds.json"
        self.env = {"PENSTOCK_TUNING": str(self.file)}

    def in_use(self, folder, transport):
        """What the statistics say of that transport."""
        return next(each for each in folder.json("stats.json")["thresholds"] if each["transport"] == transport)

    def write_thresholds(self, transport, measured_for, values):
        thresholds = {name: value for name, value in values.items() if name in self.built_in}
        self.file.write_text(json.dumps({"thresholds_format": 1, "transports": [
            {"transport": transport, "measured_for": measured_for, "thresholds": thresholds}]}))
        self.file.chmod(0o600)
        return thresholds

    def look_around(self, transport, **keys):
        """What a run says without a file."""
        found = self.in_use(self.run_to_end(DEMO, "--transport", transport, env={"PENSTOCK_TUNING": "off"}, **keys),
                            transport)
        self.assertEqual(found["from"], "built in")
        self.built_in = set(found) - {"transport", "measured_for", "from"}
        return found["measured_for"]


def with_each_transport(test):
    """Calls it with the name of each that is built in, and how runs over it are started."""
    def tests(self):
        starts = {"ucx": {}, "ofi": {}, "mpi": {"launcher": mpiexec(5)} if HAS_MPI else None}
        for transport, keys in starts.items():
            if keys is None or not is_built(transport):
                continue
            with self.subTest(transport):
                test(self, transport, keys)
    return tests


class FromAFile(TuningTestCase):
    @with_each_transport
    def test_odd_values_are_used_by_all_and_results_are_right(self, transport, keys):
        measured_for = self.look_around(transport, **keys)
        for odd in (ODD, LARGE):
            values = self.write_thresholds(transport, measured_for, odd)

            folder = self.run_to_end(DEMO, "--transport", transport, env=self.env, **keys)

            self.assert_demo_rows(folder.result(), range(100_000))
            used = self.in_use(folder, transport)
            self.assertEqual(used["from"], str(self.file))
            self.assertEqual({name: used[name] for name in values}, values)
            self.assertIn(f"Thresholds of {transport}: inline_bytes", "\n".join(folder.messages("coordinator")))

    @with_each_transport
    def test_blobs_of_all_sizes_cross_with_them(self, transport, keys):
        measured_for = self.look_around(transport, **keys)
        for odd, sizes in ((ODD, (300, 301, 1_000_003)), (LARGE, (48 << 10, (48 << 10) + 1))):
            self.write_thresholds(transport, measured_for, odd)
            for size in sizes:
                folder = self.run_to_end(blobs(size), "--transport", transport, env=self.env, **keys)

                self.assertEqual(folder.counter("sink", "bytes"), 60 * size)

    @with_each_transport
    def test_those_of_another_version_are_not_used_and_that_is_said(self, transport, keys):
        self.look_around(transport, **keys)
        self.write_thresholds(transport, "another version 0.1", ODD)

        folder = self.run_to_end(DEMO, "--transport", transport, env=self.env, **keys)

        self.assertEqual(self.in_use(folder, transport)["from"], "built in")
        said = "\n".join(folder.messages("coordinator"))
        self.assertRegex(said, 'are for "another version 0.1", not for ".*" ?, and are not used; .*penstock tune')

    def test_a_broken_file_that_is_named_ends_the_run_with_its_line(self):
        self.file.write_text('{"thresholds_format": 1,\n "transports": 7}')
        self.file.chmod(0o600)

        _, said = self.run_to_end(DEMO, env=self.env, code=2)

        self.assertIn(f"{self.file}:2: /transports", said)
        self.assertIn("penstock tune", said)

    def test_values_beyond_the_bounds_end_the_run(self):
        self.built_in = {"inline_bytes", "coalesced_bytes", "in_flight"}
        self.write_thresholds("mpi" if HAS_MPI else "ucx", "x", {**ODD, "inline_bytes": 1 << 20})

        _, said = self.run_to_end(DEMO, env=self.env, code=2)

        self.assertIn("inline_bytes", said)

    def test_a_broken_file_in_the_cache_is_passed_over_with_a_warning(self):
        cache = self.folder / "cache"
        (cache / "penstock").mkdir(parents=True)
        (cache / "penstock" / "transports.json").write_text("broken")

        folder = self.run_to_end(DEMO, env={"XDG_CACHE_HOME": str(cache)})

        said = "\n".join(folder.messages("coordinator"))
        self.assertIn("transports.json:1", said)
        self.assertIn("built in are used", said)
        self.assert_demo_rows(folder.result(), range(100_000))


class OutsideAJob(TuningTestCase):
    def test_the_plan_shows_the_file(self):
        self.built_in = {"inline_bytes", "coalesced_bytes", "in_flight"}
        self.write_thresholds("mpi" if HAS_MPI else "ucx", "some version", ODD)

        run = self.command("plan", DEMO, env=self.env)

        self.assert_code(run, 0)
        self.assertIn(f"thresholds of transports: {self.file}", run.out)
        self.assertIn("for some version: inline_bytes 300 B", run.out)

    def test_asks_for_a_job(self):
        run = self.command("tune", "--output", self.file)

        self.assert_code(run, 3)
        self.assertRegex(run.err, "mpirun|MPI")
        self.assertFalse(self.file.exists())


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class Measured(TuningTestCase):
    def tune(self, ranks, *words, env=None):
        return self.start_command([*mpiexec(ranks), program(), "tune", "--seconds", 0.3, *words], env=env)

    def test_runs_take_what_was_measured(self):
        run = self.tune(3, "--output", self.file)
        self.assertEqual(run.wait(), 0, run.err)
        self.assertIn(f"written to {self.file}", run.out)

        entries = json.loads(self.file.read_text())["transports"]
        self.assertEqual({entry["transport"] for entry in entries},
                         {name for name in ("ucx", "ofi", "mpi") if is_built(name)})
        for entry in entries:
            keys = {"launcher": mpiexec(5)} if entry["transport"] == "mpi" else {}
            folder = self.run_to_end(DEMO, "--transport", entry["transport"], env=self.env, **keys)

            used = self.in_use(folder, entry["transport"])
            self.assertEqual(used["from"], str(self.file), entry["measured_for"] + " / " + used["measured_for"])
            self.assertEqual({name: used[name] for name in entry["thresholds"]}, entry["thresholds"])

    def test_one_transport_alone_and_as_json(self):
        run = self.tune(2, "--transport", "mpi", "--json", env=self.env)
        self.assertEqual(run.wait(), 0, run.err)

        answer = json.loads(run.out)
        self.assertEqual([each["transport"] for each in answer["transports"]], ["mpi"])
        self.assertEqual(answer["file"], str(self.file))
        tried = {each["name"] for each in answer["transports"][0]["figures"]["thresholds"]}
        self.assertEqual(tried, {"inline_bytes", "coalesced_bytes", "in_flight"})
        self.assertTrue(self.file.exists())

    def test_one_rank_alone_is_refused(self):
        run = self.tune(1, "--output", self.file)

        self.assertEqual(run.wait(), 2, run.err)
        self.assertIn("mpirun -n 2", run.err)


@unittest.skipUnless(HAS_MPI, "no MPI in this build")
class TwoHosts(TuningTestCase):
    def test_runs_between_hosts_take_what_was_measured_between_hosts(self):
        hosts = hosts_for(self, 2)
        run = self.start_command([*hosts.mpiexec(3), program(), "tune", "--seconds", 0.3, "--output", self.file])
        self.assertEqual(run.wait(), 0, run.err)
        self.assertRegex(run.out, "measured between h1 and h2")

        folder = self.run_to_end(DEMO, launcher=hosts.mpiexec(5), env=self.env)

        self.assert_demo_rows(folder.result(), range(100_000))
        for used in folder.json("stats.json")["thresholds"]:
            self.assertEqual(used["from"], str(self.file))
            self.assertRegex(used["measured_for"], ", between hosts$")


if __name__ == "__main__":
    unittest.main()
