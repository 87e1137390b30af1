"""Pipeline files that are broken, hostile or huge: refused soon, in little memory, with the place and the reason."""

import json
import unittest

from penstock_runs import DEMO, RunTestCase, line_of, stage

MIB = 1 << 20
SOON_S = 20  # a loaded machine included; a loop without end would not come back at all
TEXT = DEMO.read_text()


def with_name(name):
    return TEXT.replace('"streaming-demo"', json.dumps(name)).encode()


class HostileFiles(RunTestCase):
    def assert_refused(self, *content, says="hostile.json"):
        """Refused is a file of these pieces."""
        path = self.folder / "hostile.json"
        with open(path, "wb") as file:
            file.writelines(content)
        self.assert_path_refused(path, says)

    def assert_path_refused(self, path, says):
        for command in ("validate", "run"):
            run = self.command(command, path)
            self.assert_code(run, 2, seconds=SOON_S)
            self.assertLess(run.most_resident_bytes(), 256 * MIB)
            self.assertLess(len(run.err), 64 * 1024)
            self.assertIn(says, run.err)
        self.assertEqual(list(self.folder.glob("runs/*")), [])

    def test_that_are_cut_off_are_refused_with_the_line(self):
        for length in range(0, len(TEXT.rstrip()), 61):
            with self.subTest(length):
                self.assert_refused(TEXT[:length].encode())

    def test_that_nest_without_end_are_refused(self):
        self.assert_refused(b"[" * 1_000_000)
        self.assert_refused(b'{"stages":' * 100_000)

    def test_that_are_huge_are_refused(self):
        self.assert_refused(b'{"pipeline": "', *[b"a" * MIB] * 300, b'"}')
        self.assert_refused(b'{"stages": [', *[b"0," * MIB] * 30, b"0]}")

    def test_that_never_end_are_refused(self):
        self.assert_path_refused("/dev/zero", "/dev/zero")

    def test_that_are_no_text_are_refused(self):
        for content in (b"", b"\0", b"\xff\xfe\0{", bytes(range(256)) * 64, TEXT.encode("utf-16")):
            with self.subTest(content[:8]):
                self.assert_refused(content)

    def test_that_say_a_key_twice_are_refused(self):
        self.assert_refused(TEXT.replace('"channels"', '"stages"').encode(), says="stages")

    def test_that_ask_for_more_than_there_is_are_refused(self):
        for number, says in ((0, "instances"), (-1, "instances"), (1e9, "instances"), (1.5, "instances"),
                             (10**30, str(10**30))):
            with self.subTest(number):
                spec = line_of(stage("make", "records", instances=number), stage("write", "csv_sink"))
                self.assert_refused(json.dumps(spec).encode(), says=says)
        self.assert_refused(json.dumps(line_of(stage("make", "records"), stage("write", "csv_sink"),
                                               capacity=10**15)).encode(), says="capacity")

    def test_whose_names_would_be_paths_are_refused(self):
        for name in ("../../escape", "/etc/escape", "a/b", "..", ".", "", "a\0b", "x" * 300):
            with self.subTest(name):
                self.assert_refused(with_name(name), says="pipeline")
                stages = line_of(stage(name, "records"), stage("write", "csv_sink"))
                self.assert_refused(json.dumps(stages).encode(), says="name")


if __name__ == "__main__":
    unittest.main()
