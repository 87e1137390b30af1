"""`penstock launch --wait` with commands that stand for those of Slurm."""

import json
import shutil
import time
import unittest

from penstock_runs import DEMO, RunTestCase

DONE = "COMPLETED|None|0|0|n1|"


class Waits(RunTestCase):
    def launch(self, squeue, *options):
        """@param squeue  What it does at each question, counted in $n."""
        folder = self.folder / "tools"
        folder.mkdir()
        count = self.folder / "questions"
        for name, text in {"sbatch": "cat >/dev/null; echo 40",
                           "squeue": f"echo >>{count}; n=$(wc -l <{count})\n{squeue}"}.items():
            (folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / name).chmod(0o755)
        return self.command("launch", DEMO, "--runs-dir", self.runs_dir, "--wait", *options,
                            env={"PATH": f"{folder}:/usr/bin:/bin"})

    def run_of_the_job(self, began_s, restart=0):
        """A run directory that says it is of job 40."""
        folder = self.run_to_end(DEMO).path
        about = json.loads((folder / "run.json").read_text())
        began = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(began_s))
        (folder / "run.json").write_text(json.dumps({**about, "slurm_job_id": "40", "slurm_restart": restart,
                                                     "started_at": began}))
        return folder

    def test_outlast_a_controller_that_does_not_answer(self):
        run = self.launch(f"[ $n -gt 2 ] || {{ echo 'Unable to contact slurm controller' >&2; exit 1; }}\necho '{DONE}'")

        self.assert_code(run, 0)
        self.assertEqual(run.err.count("asking again"), 1)

    def test_end_with_their_timeout_where_it_never_answers(self):
        run = self.launch("echo 'Unable to contact slurm controller' >&2; exit 1", "--wait-timeout", "300ms")

        self.assert_code(run, 6)
        self.assertIn("waiting for job 40, which goes on without this command", run.err)

    def test_end_as_the_run_of_the_job_does(self):
        folder = self.run_of_the_job(time.time())

        run = self.launch("echo 'FAILED|NonZeroExitCode|512|0|n1|'")

        self.assert_code(run, 0)
        self.assertIn(str(folder), run.err)

    def test_know_a_run_of_an_attempt_before_or_of_another_job_of_that_number(self):
        self.run_of_the_job(time.time())
        self.assert_code(self.launch("echo 'FAILED|NonZeroExitCode|512|1|n1|'"), 2)
        shutil.rmtree(self.folder / "tools")
        shutil.rmtree(self.runs_dir)
        self.run_of_the_job(time.time() - 3600)
        self.assert_code(self.launch("echo 'FAILED|NonZeroExitCode|512|0|n1|'"), 2)


class Since(RunTestCase):
    def test_refuses_a_run_that_began_before(self):
        self.run_to_end(DEMO)
        status = ("status", "--exit-code", "--runs-dir", self.runs_dir, "--since")
        self.assertEqual(self.command(*status, str(int(time.time()) - 3600)).out, "0\n")
        late = self.command(*status, str(int(time.time()) + 3600))
        self.assert_code(late, 1)
        self.assertEqual(late.out, "")
        self.assertIn("began before --since", late.err)


if __name__ == "__main__":
    unittest.main()
