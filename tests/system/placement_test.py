"""Where stages say that they are to be, without a cluster. tests/slurm has the rest."""

import json
import unittest

from penstock_runs import RunTestCase, line_of, stage

SPEC = line_of(stage("producer", "records", 2, batch_size=10, total_batches=3), stage("processor", "scale_records", 4),
               stage("consumer", "null"))


def placed(**placements):
    return {**SPEC, "stages": [{**each, "placement": placements[each["name"]]} if each["name"] in placements else each
                               for each in SPEC["stages"]]}


class Placement(RunTestCase):
    def plan(self, spec, *options, code=0):
        run = self.command("plan", self.write(spec), *options)
        self.assert_code(run, code)
        return run

    def test_is_planned_for_a_number_of_nodes(self):
        spec = placed(producer="spread", processor={"with": "producer"}, consumer={"per_node": 1})
        shown = self.plan(spec, "--nodes", "2").out

        self.assertRegex(shown, r"(?m)^rank +stage +instance +operator +device +node +placement$")
        self.assertRegex(shown, r"(?m)^4 +processor +1 +scale_records +cpu +1 +with producer$")
        nodes = [rank["node"] for rank in json.loads(self.plan(spec, "-N", "2", "--json").out)["ranks"]]
        self.assertEqual(nodes[1:3] * 2, nodes[3:7])
        self.assertEqual(sorted(nodes[1:3]), [1, 2])

    def test_that_cannot_be_is_refused_with_the_number_of_nodes_it_takes(self):
        said = self.plan(placed(processor={"per_node": 1}), "--nodes", "3", code=2).err
        self.assertIn('stage "processor" has 4 instances and is to have 1 per node, for which it takes 4 nodes, not 3', said)
        said = self.plan(SPEC, "--ntasks-per-node", "3", code=2).err
        self.assertIn("--ntasks-per-node is for --nodes", said)

    def test_that_nobody_asks_for_is_said_to_be_up_to_others(self):
        run = self.plan(SPEC, "--nodes", "2")
        self.assertIn('no stage has a "placement"', run.err)
        self.assertNotIn(" node", run.out.splitlines()[2])

    def test_beside_a_stage_that_is_not_there_is_refused_by_validate(self):
        path = self.write(placed(processor={"with": "producr"}))
        run = self.command("validate", path)
        self.assert_code(run, 2)
        self.assertIn('/stages/1/placement/with: unknown stage "producr"; did you mean "producer"?', run.err)

    def test_has_no_effect_on_one_node_which_is_said_once(self):
        folder = self.run_to_end(placed(producer="spread", processor={"per_node": 1}))
        said = [entry for entry in folder.log("coordinator") if "placement" in entry["message"]]
        self.assertEqual([(entry["level"], entry["message"]) for entry in said],
                         [("info", 'All processes are on one node: "placement" has no effect')])

    def test_on_a_kind_of_nodes_is_for_jobs_of_slurm_and_a_warning_elsewhere(self):
        spec = placed(processor={"constraint": "gpu"})
        folder = self.run_to_end(spec, env={"SLURM_JOB_ID": ""})
        self.assertIn('stage "processor" is for nodes with constraint gpu, which means nothing outside of a job of Slurm; '
                      "`penstock launch` asks for them",
                      [entry["message"] for entry in folder.log("coordinator") if entry["level"].startswith("warn")])

    def test_on_kinds_of_nodes_brings_the_ranks_of_each_kind_together(self):
        spec = placed(producer={"constraint": "gpu"}, consumer={"constraint": "gpu"})
        ranks = json.loads(self.plan(spec, "--json").out)["ranks"]
        self.assertEqual([rank["stage"] for rank in ranks],
                         ["coordinator", *["processor"] * 4, *["producer"] * 2, "consumer"])
        said = self.plan(placed(producer={"constraint": "gpu"}, consumer="pack"), "--nodes", "2", code=2).err
        self.assertIn("are for 2 kinds of nodes, of which --nodes names one", said)


if __name__ == "__main__":
    unittest.main()
