"""`penstock doctor`: what it says of this machine, and of one that was made worse."""

import json
import os
import resource
import subprocess
import unittest

from penstock_runs import DEMO, SOURCE, RunTestCase, program


def in_a_small_world(*words):
    """The command line with a /dev/shm of 64 KiB of its own. Needs no root."""
    setup = "mount -t tmpfs -o size=64k tmpfs /dev/shm && exec \"$@\""
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", setup, "sh", *map(str, words)]


def can_make_worlds():
    try:
        return subprocess.run(in_a_small_world("true"), check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def lower(limit, most):
    """Before the program: its limit."""
    return lambda: resource.setrlimit(limit, (most, most))


class Doctor(RunTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        answer = json.loads(subprocess.run([program(), "doctor", "--json"], check=False, capture_output=True).stdout)
        wrong = [each["id"] for each in answer["findings"] if each["severity"] == "error"]
        if wrong:
            raise unittest.SkipTest(f"this machine is not healthy: {', '.join(wrong)}")

    def findings(self, *words, code=0, runs_dir=None, env=None, preexec=None, before=()):
        run = self.start_command([*before, program(), "doctor", "--runs-dir", runs_dir or self.folder, *words, "--json"],
                                 env=env, preexec=preexec)
        self.assert_code(run, code)
        answer = json.loads(run.out)
        self.assertEqual(answer["errors"], 1 if code else 0, answer["findings"])
        return {each["id"]: each for each in answer["findings"]}

    def test_tells_what_there_is(self):
        run = self.command("doctor", "--runs-dir", self.folder)
        self.assert_code(run, 0)
        self.assertEqual(run.err, "")
        for name in ("kernel", "cores", "memory", "shm", "run-directory"):
            self.assertRegex(run.out, rf"(?m)^{name}  +\S")
        self.assertRegex(run.out, r"\n0 errors, \d+ warnings?, \d+ notes?\n$")

    def test_answers_programs_in_json(self):
        found = self.findings()

        self.assertEqual(found["cores"]["severity"], "ok")
        self.assertIn(f"{len(os.sched_getaffinity(0))} of ", found["cores"]["seen"])
        for each in found.values():
            self.assertEqual("fix" in each, each["severity"] != "ok")
            self.assertLessEqual({"id", "subject", "severity", "seen"}, each.keys())

    def test_an_error_is_its_exit_code(self):
        found = self.findings(code=1, env={"UCX_NET_DEVICES": "nosuch0"})

        self.assertEqual(found["ucx-device-unknown"]["severity"], "error")
        self.assertIn("nosuch0", found["ucx-device-unknown"]["seen"])

    def test_an_error_comes_with_its_fix(self):
        run = self.start_command([program(), "doctor", "--runs-dir", self.folder],
                                 env={"UCX_TCP_PORT_RANGE": "9-1"})
        self.assert_code(run, 1)
        self.assertRegex(run.out, r"\nerror: ucx-port-range-invalid: UCX_TCP_PORT_RANGE is 9-1\n  .*\n  fix: export UCX_TCP")

    def test_names_settings_of_ucx_that_lead_nowhere(self):
        self.assertIn("ucx-tls-without-network", self.findings(code=1, env={"UCX_TLS": "posix,self"}))
        self.assertEqual(self.findings(env={"UCX_TLS": "tcp,slef"})["ucx-tls-unknown"]["severity"], "warning")

    def test_names_a_small_limit_of_locked_memory(self):
        found = self.findings(preexec=lower(resource.RLIMIT_MEMLOCK, 64 << 10))

        self.assertIn("64 KiB may be locked", found["memlock-limit"]["seen"])

    def test_names_a_small_limit_of_open_files(self):
        found = self.findings(preexec=lower(resource.RLIMIT_NOFILE, 200))

        self.assertEqual(found["open-files-limit"]["severity"], "warning")

    @unittest.skipUnless(can_make_worlds(), "no user and mount namespaces can be made here")
    def test_names_a_small_shared_memory(self):
        found = self.findings(before=in_a_small_world())

        self.assertEqual(found["shm-small"]["seen"], "/dev/shm has 64 KiB")

    def test_names_a_temporary_folder_that_is_not_there(self):
        self.assertIn("tmpdir-unusable", self.findings(code=1, env={"TMPDIR": str(self.folder / "none")}))

    def test_names_a_run_directory_that_cannot_be_made(self):
        file = self.folder / "file"
        file.write_text("")
        self.assertIn("run-directory-not-writable", self.findings(runs_dir=file / "runs", code=1))

    def test_leaves_nothing_behind(self):
        empty = self.folder / "empty"
        empty.mkdir()
        self.findings(runs_dir=empty / "new" / "runs")

        self.assertEqual(list(empty.iterdir()), [])

    def test_looks_for_the_cores_of_a_run(self):
        self.assertIn("cores-fewer-than-ranks", self.findings("--ranks", 4 * os.cpu_count()))
        self.assertNotIn("cores-fewer-than-ranks", self.findings("--ranks", 1))

    def test_looks_for_the_cores_of_a_pipeline(self):
        one_core = lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        found = self.findings(DEMO, preexec=one_core)

        self.assertTrue({"one-core", "cores-fewer-than-ranks"} & found.keys())

    def test_refuses_two_numbers_of_processes(self):
        run = self.command("doctor", DEMO, "--ranks", 3)
        self.assert_code(run, 2)
        self.assertIn("leave out --ranks", run.err)

    def test_the_manual_lists_what_it_finds(self):
        run = self.command("doctor", "--markdown")
        self.assert_code(run, 0)
        self.assertEqual(run.out, (SOURCE / "docs" / "findings.md").read_text(),
                         "to mend it: penstock doctor --markdown > docs/findings.md")


if __name__ == "__main__":
    unittest.main()
