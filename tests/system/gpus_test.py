"""Stages for GPUs, run by local processes. There need be no GPU: what the variables name is believed."""

import json
import unittest

from penstock_runs import RunTestCase, line_of, stage

EXHAUSTED = 4


def on_gpus(each):
    return {**each, "device": "gpu"}


def probes(instances, device=on_gpus):
    return line_of(stage("producer", "vector", count=6, elements=4), device(stage("probe", "gpu_probe", instances)),
                   stage("other", "gpu_probe"), stage("consumer", "null"))


class Gpus(RunTestCase):
    def run_probes(self, spec, **env):
        return self.run_to_end(spec, faults=True, env={"CUDA_VISIBLE_DEVICES": "7,3,5", **env})

    def seen(self, folder, name):
        return json.loads(next(folder.result("").glob(f"{name}*.json")).read_text())

    def test_each_instance_sees_one_of_its_own_and_others_none(self):
        folder = self.run_probes(probes(2))

        first, second, other = (self.seen(folder, name) for name in ("probe.0", "probe.1", "other.0"))
        self.assertEqual((first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]), ("7", "3"))
        self.assertEqual(other["CUDA_VISIBLE_DEVICES"], "-1")
        self.assertEqual((first["has_gpu"], other["has_gpu"]), (True, False))

    def test_the_peer_files_and_the_log_say_which(self):
        folder = self.run_probes(probes(2))

        stages = folder.json("peers/consumer.0.json")["all_stages"]
        self.assertEqual([peer["gpu"] for peer in stages["probe"]], ["7", "3"])
        self.assertNotIn("gpu", stages["other"][0])
        self.assertIn("GPU 3 is this instance's own, one of 3 by CUDA_VISIBLE_DEVICES=7,3,5", folder.messages("probe.1"))

    def test_a_stage_may_name_its_own(self):
        spec = probes(1)
        spec["stages"][1]["env"] = {"CUDA_VISIBLE_DEVICES": "5"}
        self.assertEqual(self.seen(self.run_probes(spec), "probe.0")["CUDA_VISIBLE_DEVICES"], "5")

    def test_nothing_changes_in_a_pipeline_without_stages_for_gpus(self):
        folder = self.run_probes(probes(1, device=lambda each: each))
        self.assertEqual(self.seen(folder, "probe.0"), {"has_gpu": False, "CUDA_VISIBLE_DEVICES": "7,3,5",
                                                        "ROCR_VISIBLE_DEVICES": None, "HIP_VISIBLE_DEVICES": None})

    def test_too_few_end_the_run_before_anything_streams(self):
        _, said = self.run_to_end(probes(4), faults=True, env={"CUDA_VISIBLE_DEVICES": "0,1,2"}, code=EXHAUSTED)

        self.assertRegex(said, r'on node \S+, stage "probe" \(4 instances\) needs 4 GPUs, one for each instance, and this '
                               r"run has 3 GPUs \(CUDA_VISIBLE_DEVICES=0,1,2\) there; ask for more GPUs")
        self.assertEqual(list(self.only_folder().result("").iterdir()), [])

    def test_an_operator_that_cannot_use_one_is_refused(self):
        spec = line_of(stage("producer", "records"), on_gpus(stage("consumer", "csv_sink")))
        run = self.start(spec)
        self.assert_code(run, 3)
        self.assertIn('/stages/1/device: operator "csv_sink" does not run on a GPU; write "device": "cpu"', run.err)

    def test_the_plan_of_a_program_of_the_users_own_shows_the_device(self):
        shown = self.command("plan", self.write(probes(2)), "--program", "mine").out
        self.assertRegex(shown, r"(?m)^2 +probe +0 +gpu_probe +gpu$")
        self.assertRegex(shown, r"(?m)^4 +other +0 +gpu_probe +cpu$")


if __name__ == "__main__":
    unittest.main()
