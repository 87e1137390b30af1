"""Several instances write one HDF5 file through MPI-IO."""

import json
import resource
import signal
import sys
import unittest

try:
    import h5py
    import numpy
except ImportError:
    print("skipped: python3-h5py is not installed")
    sys.exit(77)

from penstock_runs import RunTestCase, channel, line_of, mpiexec, stage, wait_until

MIB = 1 << 20


def may_not_write_files_beyond(size_bytes):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))
    return limit


def vectors(count=300, elements=1024, **more):
    return stage("source", "vector", count=count, elements=elements, **more)


def writer(instances, **params):
    return stage("writer", "hdf5_sink", instances, shared=True, **params)


class Shared(RunTestCase):
    def run_mpi(self, spec, *options, code=0, **more):
        ranks = 1 + sum(each["instances"] for each in spec["stages"])
        return self.run_to_end(spec, *options, launcher=mpiexec(ranks), code=code, **more)

    def opened(self, folder):
        self.assertEqual([path.name for path in folder.result("").iterdir()], ["results.h5"])
        return h5py.File(folder.result("results.h5"), "r")

    def assert_all_vectors(self, folder, count, rows_each=1):
        with self.opened(folder) as file:
            table = file["data_payloads"][:]
            self.assertEqual(sorted(table["sequence"]), list(range(count)))
            self.assertTrue((numpy.cumsum(table["rows"]) - table["rows"] == table["first_row"]).all())
            data = file["data"][:].reshape(count, -1)
            width = data.shape[1]
            wanted = table["sequence"][:, None] * width + numpy.arange(width)[None, :]
            self.assertTrue((data == wanted).all(), "other elements")
            self.assertEqual(file.attrs["complete"], 1)
        self.assertEqual(folder.counter("writer", "payloads"), count)


class Instances(Shared):
    def test_write_every_payload_once_into_one_file(self):
        for instances in (1, 2, 3):
            for layout in ("stack", "append"):
                with self.subTest(instances=instances, layout=layout):
                    folder = self.run_mpi(line_of(vectors(), writer(instances, layout=layout)))

                    self.assert_all_vectors(folder, 300)
                    with self.opened(folder) as file:
                        said = dict(file.attrs)
                        self.assertEqual((said["stage"], said["instances"]), ("writer", instances))
                        self.assertEqual((file["data"].attrs["dtype"], file["data"].attrs["layout"]),
                                         (b"f64", layout.encode()))

    def test_write_large_payloads_in_many_rounds_with_a_small_buffer(self):
        spec = line_of(vectors(count=100, elements=MIB // 8), writer(3, buffer="4MiB", chunk="256KiB"), capacity=4)
        self.assert_all_vectors(self.run_mpi(spec), 100)

    def test_write_each_payload_in_a_round_of_its_own(self):
        self.assert_all_vectors(self.run_mpi(line_of(vectors(count=50), writer(2, flush=0))), 50)

    def test_write_what_comes_over_mpi(self):
        self.assert_all_vectors(self.run_mpi(line_of(vectors(), writer(2)), "--transport", "mpi"), 300)

    def test_join_in_without_payloads_of_their_own(self):
        spec = line_of(stage("source", "tagged_source", count=500, keys=["a"]), writer(3), route="hash", key="key",
                       capacity=2)
        folder = self.run_mpi(spec, faults=True)

        self.assertEqual(sorted(folder.instance_counters("writer", "payloads")), [0, 0, 500])
        with self.opened(folder) as file:
            self.assertEqual(list(file["data"][:, 0]), list(range(500)))
            self.assertEqual(list(file["data_payloads"]["user_id"]), list(range(500)))

    def test_end_well_when_nobody_gets_a_payload(self):
        folder = self.run_mpi(line_of(stage("source", "tagged_source", count=0), writer(2)), faults=True)

        with self.opened(folder) as file:
            self.assertEqual(list(file.keys()), [])
            self.assertEqual(file.attrs["complete"], 1)

    def test_write_metadata_that_are_read_back(self):
        spec = line_of(stage("source", "tagged_source", count=100, keys=["a", "longer"]), writer(2))
        path = self.run_mpi(spec, faults=True).result("results.h5")
        back = line_of(stage("reader", "hdf5_source", input=str(path)), stage("sink", "recorder"))
        folder = self.run_to_end(back, faults=True)

        lines = [json.loads(text) for text in folder.result("payloads.jsonl").read_text().splitlines()]
        self.assertEqual({line["user_id"]: line["key"] for line in lines},
                         {i: ("a", "longer")[i % 2] for i in range(100)})

    def test_count_payloads_of_another_form_wherever_they_come(self):
        spec = {"stages": [vectors(count=100), stage("other", "vector", count=100, elements=7), writer(2)],
                "channels": [channel("source", "writer"), channel("other", "writer")]}
        folder = self.run_mpi(spec)

        with self.opened(folder) as file:
            self.assertEqual(file["data"].shape[0], 100)
            self.assertIn(file["data"].shape[1], (7, 1024))
            self.assertEqual(len(set(file["data_payloads"]["instance"])), 1)
        self.assertEqual((folder.counter("writer", "payloads"), folder.counter("writer", "malformed")), (100, 100))

    def test_settle_while_the_source_pauses(self):
        spec = line_of(vectors(count=2, interval="30s"), writer(2))
        run = self.start(spec, launcher=mpiexec(4))
        wait_until(lambda: list(self.runs_dir.glob("*/status.json")), "the run is under way")
        wait_until(lambda: self.only_folder().channel("source-writer", "status.json")["settled"] == 1, "it is settled")
        run.send(signal.SIGTERM)

        run.wait()
        with self.opened(self.only_folder()) as file:
            self.assertEqual(file["data"].shape, (1, 1024))


class Failures(Shared):
    def test_full_disk_ends_the_run_with_what_was_settled(self):
        spec = line_of(vectors(count=1000, elements=MIB // 8), writer(2, buffer="4MiB"))
        folder, said = self.run_mpi(spec, "--arena-mib", "16", code=4, preexec=may_not_write_files_beyond(64 * MIB))

        for text in ("exhausted: ", "results.h5", "File too large", "free space"):
            self.assertIn(text, said)
        settled = folder.channel("source-writer")["settled"]
        with self.opened(folder) as file:
            self.assertGreaterEqual(len(file["data_payloads"]), settled)
            self.assertEqual(file.attrs["complete"], 0)
        self.assertGreater(settled, 0)

    def test_strict_stage_ends_at_the_first_malformed_payload(self):
        spec = {"stages": [vectors(count=1000), stage("other", "vector", count=1000, elements=7), writer(3, strict=True)],
                "channels": [channel("source", "writer"), channel("other", "writer")]}
        _, said = self.run_mpi(spec, code=2)

        self.assertIn("as the first one", said)

    def test_without_mpi_names_the_remedy(self):
        _, said = self.run_to_end(line_of(vectors(), writer(2)), code=3)

        self.assertIn("unsupported: ", said)
        self.assertIn("mpirun -n", said)

    def test_what_cannot_be_shared_names_the_remedy(self):
        for params, remedy in (({"layout": "separate"}, '"append"'), ({"compression": "gzip"}, '"none"')):
            _, said = self.run_mpi(line_of(vectors(), writer(2, **params)), code=3)

            self.assertIn(remedy, said)

    def test_text_in_a_stack_names_the_remedy(self):
        spec = line_of(stage("source", "records", batch_size=10, total_batches=100), writer(2))
        _, said = self.run_mpi(spec, code=3)

        self.assertIn('use layout "append"', said)

    def test_run_killed_between_rounds_leaves_what_was_settled(self):
        spec = {"stages": [vectors(), vectors(count=2, interval="30s") | {"name": "pausing"}, writer(2)],
                "channels": [channel("source", "writer"), channel("pausing", "writer")]}
        run = self.start(spec, launcher=mpiexec(5))

        def settled():
            folder = self.only_folder()
            return sum(folder.channel(f"{name}-writer", "status.json")["settled"] for name in ("source", "pausing"))
        wait_until(lambda: list(self.runs_dir.glob("*/status.json")), "the run is under way")
        wait_until(lambda: settled() == 301, "all are settled that came")
        next(each for each in run.processes() if each.environment.get("OMPI_COMM_WORLD_RANK") == "4").kill()

        self.assertNotEqual(run.wait(), 0)
        with self.opened(self.only_folder()) as file:
            table = file["data_payloads"][:]
            self.assertEqual(sorted((row["instance"], row["sequence"]) for row in table),
                             [(1, i) for i in range(300)] + [(2, 0)])
            self.assertEqual(file["data"].shape, (301, 1024))
            self.assertEqual(file.attrs["complete"], 0)


if __name__ == "__main__":
    unittest.main()
