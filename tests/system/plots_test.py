"""The program that draws what the examples have found."""

import importlib.util
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

from penstock_runs import SOURCE, RunTestCase, set_all

JOBS = SOURCE / "jobs"
PLOT = JOBS / "plots" / "plot"
MISSING = [f"python3-{name}" for name in ("h5py", "matplotlib") if importlib.util.find_spec(name) is None]


class Plots(RunTestCase):
    @classmethod
    def setUpClass(cls):
        cls.fonts = pathlib.Path(tempfile.mkdtemp(prefix="penstock-test-fonts-"))  # searched once
        cls.addClassCleanup(shutil.rmtree, cls.fonts, ignore_errors=True)

    def plot(self, *words, env=None):
        run = self.start_command([sys.executable, PLOT, *words], env={"MPLCONFIGDIR": str(self.fonts), **(env or {})})
        run.wait()
        return run

    def need_packages(self):
        if MISSING:
            self.skipTest(f"not installed: {', '.join(MISSING)}")

    def refusal(self, *words, env=None):
        run = self.plot(*words, env=env)
        self.assert_code(run, 2)
        self.assertEqual(run.out, "")
        self.assertNotIn("Traceback", run.err)
        return run.err

    def assert_png(self, path):
        content = path.read_bytes()
        self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n")
        self.assertGreater(len(content), 20_000)

    def assert_drawn(self, job, *settings):
        folder = self.run_to_end(JOBS / f"{job}.json", *set_all(settings), cwd=SOURCE)
        run = self.plot(job, folder.path)
        self.assert_code(run, 0)
        self.assertEqual(run.out.strip(), str(folder.result(f"{job}.png")))
        self.assert_png(folder.result(f"{job}.png"))
        return folder

    def test_draw_the_calibration(self):
        self.need_packages()
        self.assert_drawn("calibration")

    def test_draw_the_images_and_write_where_they_are_asked_to(self):
        self.need_packages()
        folder = self.assert_drawn("images")
        self.assert_code(self.plot("images", folder.result(""), "-o", self.folder / "other.png"), 0)
        self.assert_png(self.folder / "other.png")

    def test_draw_grey_images(self):
        self.need_packages()
        self.assert_drawn("images", "camera.images=3", "camera.channels=1", "preprocess.mean=[0.5]",
                          "preprocess.std=[0.3]")

    def test_draw_the_sweep(self):
        self.need_packages()
        self.assert_drawn("sweep")

    def test_draw_the_telemetry_of_one_time_and_of_many(self):
        self.need_packages()
        self.assert_drawn("telemetry")
        path = self.folder / "metrics.csv"
        self.assert_code(self.command("telemetry", "generate", path, "--gpus", "3", "--times", "30"), 0)
        self.assert_drawn("telemetry", f"streamer.csv_path={path}", "streamer.time_source=csv", "streamer.interval=0")

    def test_say_which_packages_are_missing(self):
        (self.folder / "h5py.py").write_text("raise ImportError(\"No module named 'h5py'\")")

        said = self.refusal("sweep", self.folder, env={"PYTHONPATH": str(self.folder)})

        self.assertIn("No module named 'h5py'", said)
        self.assertIn("apt-get install python3-matplotlib python3-h5py", said)

    def test_say_which_job_to_run(self):
        self.need_packages()
        self.assertIn("penstock run jobs/sweep.json", self.refusal("sweep", self.folder / "none"))
        for job, missing in (("calibration", "spectrum.csv"), ("images", "images.h5"), ("sweep", "sweep.h5"),
                             ("telemetry", "telemetry*.h5")):
            said = self.refusal(job, self.folder)
            self.assertIn(f"has no {missing}", said)
            self.assertIn(f"jobs/{job}.json", said)
        self.assertIn("invalid choice", self.refusal("weather", self.folder))

    def test_say_that_a_run_gave_no_results(self):
        self.need_packages()
        empty = self.folder / "empty.csv"
        empty.write_text((JOBS / "data" / "dcgm-sample.csv").read_text().splitlines()[0] + "\n")
        for job, settings in (("calibration", ["detector.frames=0"]), ("images", ["preprocess.crop=300"]),
                              ("sweep", ["orbits.column=5"]),
                              ("telemetry", [f"streamer.csv_path={empty}", "streamer.instances=1"])):
            folder = self.run_to_end(JOBS / f"{job}.json", *set_all(settings))
            self.assertIn("gave no results", self.refusal(job, folder.path), job)

    def test_say_that_a_file_cannot_be_read(self):
        self.need_packages()
        for job, name in (("calibration", "spectrum.csv"), ("images", "images.h5"), ("sweep", "sweep.h5"),
                          ("telemetry", "telemetry.0.h5")):
            (self.folder / name).write_text("low,high\n1,many\n")
            said = self.refusal(job, self.folder)
            self.assertIn(f'{name}" cannot be read', said)
            os.remove(self.folder / name)

    def test_say_that_a_sweep_has_too_many_axes(self):
        self.need_packages()
        folder = self.run_to_end(JOBS / "sweep.json", "--set", 'sweep.axes=["a=1,2","r=3,4"]')
        self.assertIn("the axes a,r and 4 points", self.refusal("sweep", folder.path))


if __name__ == "__main__":
    if not unittest.main(exit=False).result.wasSuccessful():
        sys.exit(1)
    if MISSING:
        print(f"skipped all that draws; not installed: {', '.join(MISSING)}")
        sys.exit(77)
