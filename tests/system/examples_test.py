"""The examples of real work: what their jobs write, held against plain references."""

import csv
import json
import sys
import unittest

try:
    import h5py
    import numpy
except ImportError:
    print("skipped: python3-h5py is not installed")
    sys.exit(77)

from penstock_runs import SOURCE, RunTestCase, set_all

JOBS = SOURCE / "jobs"


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


# --- the camera and image_preprocess, again ---


def mixed(number):
    """The finaliser of splitmix64, of an array too."""
    with numpy.errstate(over="ignore"):
        number = numpy.uint64(number) + numpy.uint64(0x9E3779B97F4A7C15)
        number = (number ^ (number >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
        number = (number ^ (number >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
        return number ^ (number >> numpy.uint64(31))


def camera_image(number, height, width, channels=3, noise=8, seed=1):
    state = int(mixed(seed)) ^ int(mixed(~number % 2**64))

    def draw():
        nonlocal state
        state += 1
        return int(mixed((state - 1) % 2**64))

    left, right, disc = (numpy.array([draw() % 256 for _ in range(channels)]) for _ in range(3))
    centre_row = height // 4 + draw() % (height - height // 2)
    centre_column = width // 4 + draw() % (width - width // 2)
    radius = 1 + draw() % max(min(height, width) // 3, 1)
    first_pixel = draw()
    row, column = numpy.mgrid[:height, :width]
    last = max(width - 1, 1)
    image = (left * (last - column)[..., None] + right * column[..., None]) // last
    image[(row - centre_row) ** 2 + (column - centre_column) ** 2 <= radius**2] = disc
    with numpy.errstate(over="ignore"):
        pixels = numpy.uint64(first_pixel) + numpy.arange(height * width, dtype=numpy.uint64).reshape(height, width)
        bits = mixed(pixels)
    for channel in range(channels):
        off = (bits >> numpy.uint64(8 * channel) & numpy.uint64(255)).astype(int)
        image[..., channel] += (off * (2 * noise + 1) >> 8) - noise
    return numpy.clip(image, 0, 255)


def prepared(image, resize=256, crop=224, mean=(0.485, 0.456, 0.406), deviation=(0.229, 0.224, 0.225)):
    """Bilinear, with the centres of pixels at half numbers; the centre is cut out."""
    shorter = min(image.shape[:2])
    found = image.astype(float)
    for axis in range(2):
        size = image.shape[axis]
        resized = round(size * resize / shorter)
        places = numpy.arange((resized - crop) // 2, (resized - crop) // 2 + crop)
        places = numpy.clip((places + 0.5) * size / resized - 0.5, 0, size - 1)
        first = places.astype(int)
        share = (places - first).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        second = numpy.minimum(first + 1, size - 1)
        found = found.take(first, axis) * (1 - share) + found.take(second, axis) * share
    return (found / 255 - mean) / deviation


class Images(RunTestCase):
    def tensor_of(self, folder):
        """The images in the order of their numbers, and how many of them each payload has by its user id."""
        with h5py.File(folder.result("images.h5"), "r") as file:
            values, rows = file["images"][:], file["images_payloads"][:]
        numbers = numpy.full(len(values), -1)
        for row in rows:
            numbers[row["first_row"]:][: row["rows"]] = json.loads(row["metadata"])["first"] + numpy.arange(row["rows"])
        self.assertEqual(sorted(numbers), list(range(len(values))))
        return values[numpy.argsort(numbers)], {row["user_id"]: row["rows"] for row in rows}

    def assert_prepared(self, found, wanted):
        for number, (image, reference) in enumerate(zip(found, wanted, strict=True)):
            self.assertLess(abs(image - reference).max(), 1e-5, f"image {number}")

    def test_are_what_a_plain_reference_makes_of_them(self):
        folder = self.run_to_end(JOBS / "images.json")

        images, rows = self.tensor_of(folder)
        self.assertEqual((images.shape, images.dtype), ((60, 224, 224, 3), numpy.dtype("<f4")))
        self.assertEqual(rows, {**{batch: 8 for batch in range(7)}, 7: 4})
        self.assert_prepared(images, [prepared(camera_image(number, 360, 480)) for number in range(60)])
        self.assertEqual(folder.counter("camera", "images"), 60)

    def test_are_found_by_their_number_as_the_page_shows(self):
        folder = self.run_to_end(JOBS / "images.json")
        program = (SOURCE / "docs" / "examples.md").read_text().split("```python\n")[1].split("```")[0]

        script = self.folder / "program.py"
        script.write_text(program + "image.tofile('image')\n")
        self.assert_code(self.start_command([sys.executable, script, folder.result("images.h5")]), 0)

        found = numpy.fromfile(self.folder / "image", "<f4").reshape(224, 224, 3)
        self.assert_prepared([found], [prepared(camera_image(42, 360, 480))])

    def test_have_the_statistics_of_each_batch_beside_them(self):
        folder = self.run_to_end(JOBS / "images.json")

        images, _ = self.tensor_of(folder)
        batches = sorted(table(folder.result("batches.csv")), key=lambda row: int(row["batch"]))
        self.assertEqual([int(row["batch"]) for row in batches], list(range(8)))
        for number, row in enumerate(batches):
            batch = images[8 * number:][:8].astype(float)
            self.assertEqual((int(row["count"]), row["non_finite"]), (batch.size, "0"))
            self.assertEqual((float(row["min"]), float(row["max"])), (batch.min(), batch.max()))
            self.assertAlmostEqual(float(row["mean"]), batch.mean(), places=9)
            self.assertAlmostEqual(float(row["variance"]), batch.var(), places=9)

    def test_are_the_same_from_several_cameras(self):
        settings = ("camera.instances=2", "camera.images=11", "camera.batch=2", "camera.height=40", "camera.width=30",
                    "camera.seed=7", "camera.noise=20", "preprocess.instances=3", "preprocess.resize=20",
                    "preprocess.crop=16")
        folder = self.run_to_end(JOBS / "images.json", *set_all(settings))

        images, rows = self.tensor_of(folder)
        self.assertEqual(rows, {**{batch: 2 for batch in range(5)}, 5: 1})
        self.assert_prepared(images, [prepared(camera_image(number, 40, 30, noise=20, seed=7), resize=20, crop=16)
                                      for number in range(11)])


# --- the logistic map, again ---


def orbits(r, settle, steps, bins, start=0.1):
    """Lyapunov exponents and histograms, all r at once."""
    x = numpy.full(len(r), start)
    exponent = numpy.zeros(len(r))
    counts = numpy.zeros((len(r), bins))
    for step in range(settle + steps):
        if step >= settle:
            with numpy.errstate(divide="ignore"):
                exponent += numpy.log(abs(r * (1 - 2 * x)))
        x = r * x * (1 - x)
        if step >= settle:
            counts[numpy.arange(len(r)), numpy.minimum((x * bins).astype(int), bins - 1)] += 1
    return exponent / steps, counts


class Sweep(RunTestCase):
    def rows_of(self, folder):
        with h5py.File(folder.result("sweep.h5"), "r") as file:
            return file["orbits"][:], file["orbits_payloads"][:]

    def assert_exponents(self, found, wanted):
        self.assertEqual(list(numpy.isneginf(found)), list(numpy.isneginf(wanted)))
        finite = numpy.isfinite(wanted)
        self.assertLess(abs(found[finite] - wanted[finite]).max(), 1e-9)

    def test_has_a_row_for_each_r_in_order_as_a_plain_reference_finds_it(self):
        folder = self.run_to_end(JOBS / "sweep.json")

        rows, payloads = self.rows_of(folder)
        self.assertEqual((rows.shape, rows.dtype), ((1201, 402), numpy.dtype("<f8")))
        self.assertEqual(list(payloads["user_id"]), list(range(76)))
        self.assertEqual(json.loads(payloads[1]["metadata"]), {"bins": 400, "steps": 10000, "axes": "r", "first": 16})
        r = rows[:, 0]
        self.assertLess(abs(r - numpy.linspace(2.5, 4, 1201)).max(), 1e-14)
        self.assertEqual((r[0], r[-1]), (2.5, 4))
        exponent, counts = orbits(r, 2000, 10000, 400)
        self.assertTrue((rows[:, 2:] == counts).all())
        self.assert_exponents(rows[:, 1], exponent)
        self.assertEqual(sum(folder.instance_counters("orbits", "points")), 1201)

    def test_of_two_axes_has_a_row_for_each_pair(self):
        settings = ('sweep.axes=["sample=1,2,5","r=3:3.5:20"]', "sweep.batch=7", "sweep.instances=2", "orbits.column=1",
                    "orbits.instances=3", "orbits.bins=10")
        folder = self.run_to_end(JOBS / "sweep.json", *set_all(settings))

        rows, _ = self.rows_of(folder)
        samples, r = numpy.meshgrid([1, 2, 5], numpy.linspace(3, 3.5, 20), indexing="ij")
        self.assertLess(abs(rows[:, :2] - numpy.column_stack((samples.ravel(), r.ravel()))).max(), 1e-14)
        exponent, counts = orbits(rows[:, 1], 2000, 10000, 10)
        self.assertTrue((rows[:, 3:] == counts).all())
        self.assert_exponents(rows[:, 2], exponent)

    def test_says_what_an_axis_is(self):
        _, said = self.run_to_end(JOBS / "sweep.json", "--set", 'sweep.axes=["r=2:4"]', code=2)

        self.assertIn('"NAME=FROM:TO:STEPS"', said)


if __name__ == "__main__":
    unittest.main()
