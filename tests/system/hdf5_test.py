"""The HDF5 job, its files as other readers see them, and the way back."""

import json
import shutil
import subprocess
import sys
import unittest

try:
    import h5py
    import numpy
except ImportError:
    print("skipped: python3-h5py is not installed")
    sys.exit(77)

from penstock_runs import SOURCE, RunTestCase, line_of, stage

JOB = SOURCE / "jobs" / "hdf5.json"


def expected_rows():
    return 2.0 * numpy.arange(1000 * 1024).reshape(1000, 1024) + 1.0


def in_order(data, table):
    return data[:][numpy.argsort(table["sequence"])]


class Job(RunTestCase):
    def test_writes_every_vector_once_with_its_id(self):
        folder = self.run_to_end(JOB)

        with h5py.File(folder.result("results.h5"), "r") as file:
            self.assertEqual((file["data"].dtype, file["data"].maxshape), (numpy.dtype("<f8"), (None, 1024)))
            table = file["data_payloads"][:]
            self.assertEqual(sorted(table["sequence"]), list(range(1000)))
            self.assertTrue((table["first_row"] == numpy.arange(1000)).all())
            self.assertTrue((in_order(file["data"], table) == expected_rows()).all())
        self.assertEqual(folder.counter("writer", "payloads"), 1000)

    def test_says_where_the_file_comes_from(self):
        folder = self.run_to_end(JOB)

        with h5py.File(folder.result("results.h5"), "r") as file:
            said = dict(file.attrs)
        self.assertEqual((said["pipeline"], said["stage"], said["instance"], said["instances"], said["rank"]),
                         ("hdf5", "writer", 0, 1, 4))
        self.assertEqual(said["complete"], 1)
        self.assertEqual(said["run"], str(folder.path))
        self.assertEqual(json.loads(said["plan"]), folder.json("plan.json"))
        self.assertEqual(len(said["hosts"]), 5)
        self.assertEqual(list(said["transports"]), ["scale-writer: shm"])
        self.assertRegex(said["penstock_version"], r"^\d+\.\d+\.\d+$")

    def test_of_several_writers_has_one_file_that_shows_all_rows(self):
        for layout in ("stack", "append"):
            folder = self.run_to_end(JOB, "--set", "writer.instances=3", "--set", f"writer.layout={layout}")

            self.assertEqual(sorted(path.name for path in folder.result("").iterdir()),
                             ["results.0.h5", "results.1.h5", "results.2.h5", "results.h5"])
            with h5py.File(folder.result("results.h5"), "r") as file:
                self.assertTrue(file["data"].is_virtual)
                table = file["data_payloads"][:]
                data = file["data"][:].reshape(1000, 1024)
                self.assertTrue((in_order(data, table) == expected_rows()).all())
                self.assertTrue((numpy.cumsum(table["rows"]) - table["rows"] == table["first_row"]).all())

    def test_of_several_writers_links_the_datasets_when_each_payload_has_one(self):
        folder = self.run_to_end(JOB, "--set", "writer.instances=2", "--set", "writer.layout=separate",
                                 "--set", "vectors.count=300")

        found = {}
        with h5py.File(folder.result("results.h5"), "r") as file:
            file["data"]["0"]  # the links lead somewhere
            file["data"]["1"]
            for part in file["data"].values():
                for source in part.values():
                    for lot in source.values():
                        found.update({name: dataset[0] for name, dataset in lot.items()})
        self.assertEqual(found, {f"1.0.{i}": 2.0 * 1024 * i + 1.0 for i in range(300)})

    @unittest.skipUnless(shutil.which("h5ls") and shutil.which("h5dump"), "hdf5-tools are not installed")
    def test_is_read_by_the_tools_of_hdf5(self):
        folder = self.run_to_end(JOB, "--set", "writer.instances=2")

        for name in ("results.0.h5", "results.h5"):
            path = folder.result(name)
            listed = subprocess.run(["h5ls", path], capture_output=True, text=True, check=True).stdout
            self.assertRegex(listed, r"(?m)^data +Dataset \{\d+(/Inf)?, 1024(/1024)?\}$")
            dumped = subprocess.run(["h5dump", "-d", "/data[0,0;;1,3]", path], capture_output=True, text=True, check=True)
            self.assertRegex(dumped.stdout, r"\(0,0\): \d+, \d+, \d+")
            table = subprocess.run(["h5dump", "-d", "/data_payloads[0;;1]", path], capture_output=True, text=True,
                                   check=True).stdout
            self.assertIn('"source_time_ns"', table)

    def test_is_what_the_source_reads(self):
        first = self.run_to_end(JOB, "--set", "vectors.count=100")
        copy = line_of(stage("reader", "hdf5_source", instances=2, input=str(first.result("results.h5"))),
                       stage("writer", "hdf5_sink", output="copy.h5", compression="shuffle_gzip"))
        second = self.run_to_end(copy)

        with h5py.File(first.result("results.h5"), "r") as file:
            original = numpy.sort(file["data"][:], axis=0)
        with h5py.File(second.result("copy.h5"), "r") as file:
            self.assertEqual(file["data"].compression, "gzip")
            self.assertTrue((numpy.sort(file["data"][:], axis=0) == original).all())

    def test_of_a_file_that_is_not_there_says_so(self):
        spec = line_of(stage("reader", "hdf5_source", input="missing.h5"), stage("end", "null"))
        run = self.start(spec)

        self.assert_code(run, 2)
        self.assertIn('there is no file "missing.h5"', run.err)


if __name__ == "__main__":
    unittest.main()
