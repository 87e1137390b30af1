"""The configurations of slurm/parallelcluster against the schema of ParallelCluster itself, without a connection to AWS.

PENSTOCK_PCLUSTER_PYTHON names a Python that has aws-parallelcluster, where this one has not.
"""

import importlib.util
import json
import os
import subprocess
import sys
import unittest

from parallelcluster_test import CLUSTERS, LONGEST_S, filled

PCLUSTER_PYTHON = os.environ.get("PENSTOCK_PCLUSTER_PYTHON",
                                 sys.executable if importlib.util.find_spec("pcluster") else "")
SKIPPED = 77

# With the region that it takes from the environment, a configuration becomes a value as `pcluster` makes it.
LOAD = """
import json, sys, yaml
from marshmallow import ValidationError
from pcluster.schemas.cluster_schema import ClusterSchema
try:
    cluster = ClusterSchema(cluster_name="penstock").load(yaml.safe_load(sys.stdin))
except ValidationError as error:
    sys.exit(json.dumps(error.messages))
print(json.dumps([[queue.name, compute.efa.enabled, queue.networking.placement_group.enabled, compute.max_count]
                  for queue in cluster.scheduling.queues for compute in queue.compute_resources]))
"""


class Schema(unittest.TestCase):
    def load(self, text):
        clean = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
        return subprocess.run([PCLUSTER_PYTHON, "-c", LOAD], input=text, env=clean, check=False, capture_output=True, text=True,
                              timeout=LONGEST_S)

    def test_takes_the_configurations(self):
        expected = [["c5n", True, True, 8], ["p4d", True, True, 4]]
        for number, name in enumerate(CLUSTERS):
            with self.subTest(name):
                done = self.load(filled(name))
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual(json.loads(done.stdout), expected[: number + 1])

    def test_refuses_what_is_wrong_in_them(self):
        text = filled("c5n.yaml")
        for right, wrong, named in (("MaxCount: 8", "MaxCont: 8", "MaxCont"), ("SCRATCH_2", "SCRATCH_9", "DeploymentType"),
                                    ("Enabled: true", "Enabled: perhaps", "Efa"), ("OnNodeConfigured", "OnNodeReady", "OnNodeReady"),
                                    ("PlacementGroup", "Placement", "Placement")):
            with self.subTest(wrong):
                self.assertIn(right, text)
                done = self.load(text.replace(right, wrong))
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(named, done.stderr)


if __name__ == "__main__":
    if not PCLUSTER_PYTHON:
        print("skipped: aws-parallelcluster is missing; pip install it into an environment and name its Python in "
              "PENSTOCK_PCLUSTER_PYTHON")
        sys.exit(SKIPPED)
    unittest.main()
