"""The clusters of slurm/parallelcluster: their configurations, and the scripts that install Penstock on their nodes.

Nothing here asks AWS.
"""

import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

from penstock_runs import SOURCE, program

try:
    import yaml
except ImportError:
    yaml = None

FOLDER = SOURCE / "slurm" / "parallelcluster"
CLUSTERS = ("c5n.yaml", "c5n-p4d.yaml")
SCRIPTS = ("head-node.sh", "compute-node.sh")
VARIABLES = {"AWS_REGION": "us-east-1", "PENSTOCK_HEAD_SUBNET": "subnet-0123456789abcdef0",
             "PENSTOCK_COMPUTE_SUBNET": "subnet-0123456789abcdef1", "PENSTOCK_SECURITY_GROUP": "sg-0123456789abcdef0",
             "PENSTOCK_KEY_NAME": "my key", "PENSTOCK_BUCKET": "my-bucket"}
LONGEST_S = 120

def fill(name, **changes):
    """Runs slurm/parallelcluster/fill with these variables; None leaves one out."""
    variables = {key: value for key, value in {**VARIABLES, **changes}.items() if value is not None}
    clean = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    return subprocess.run([sys.executable, FOLDER / "fill", FOLDER / name], env={**clean, **variables}, check=False,
                          capture_output=True, text=True, timeout=LONGEST_S)


def filled(name):
    done = fill(name)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Fill(unittest.TestCase):
    def test_leaves_no_place_empty(self):
        for name in CLUSTERS:
            with self.subTest(name):
                self.assertNotIn("${PENSTOCK", filled(name))
                self.assertIn("Region: us-east-1\n", filled(name))

    def test_names_every_variable_that_is_missing_and_what_it_is(self):
        done = fill("c5n.yaml", PENSTOCK_BUCKET=None, AWS_REGION="")

        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertRegex(done.stderr, "AWS_REGION is not set: the region, as \"us-east-1\"")
        self.assertRegex(done.stderr, "PENSTOCK_BUCKET is not set: ")
        self.assertNotIn("PENSTOCK_KEY_NAME", done.stderr)

    def test_refuses_what_cannot_be_meant(self):
        for name, value in (("AWS_REGION", "us-east-1a"), ("PENSTOCK_HEAD_SUBNET", "vpc-0123456789abcdef0"),
                            ("PENSTOCK_SECURITY_GROUP", "default"), ("PENSTOCK_BUCKET", "s3://my-bucket"),
                            ("PENSTOCK_KEY_NAME", "a\nb: c")):
            with self.subTest(name):
                done = fill("c5n.yaml", **{name: value})
                self.assertEqual(done.returncode, 2)
                self.assertIn(f"{name} is \"{value}\", which is not ", done.stderr)

    def test_knows_every_place_of_the_configurations(self):
        spec = importlib.util.spec_from_loader("fill", None)
        known = importlib.util.module_from_spec(spec)
        exec((FOLDER / "fill").read_text().replace('if __name__ == "__main__":', "if False:"), known.__dict__)

        for name in CLUSTERS:
            places = set(re.findall(r"\$\{(\w+)\}", (FOLDER / name).read_text()))
            self.assertEqual(places, set(known.VARIABLES))


@unittest.skipUnless(yaml, "python3-yaml is missing; on Debian: apt-get install python3-yaml")
class Configuration(unittest.TestCase):
    def each(self):
        for name in CLUSTERS:
            with self.subTest(name):
                yield yaml.safe_load(filled(name))

    def queues(self):
        for cluster in self.each():
            for queue in cluster["Scheduling"]["SlurmQueues"]:
                with self.subTest(queue["Name"]):
                    yield queue

    def test_has_the_instances_with_efa(self):
        instances = [[compute["InstanceType"] for queue in cluster["Scheduling"]["SlurmQueues"]
                      for compute in queue["ComputeResources"]] for cluster in self.each()]

        self.assertEqual(instances, [["c5n.18xlarge"], ["c5n.18xlarge", "p4d.24xlarge"]])

    def test_has_efa_in_every_queue_and_with_it_gpudirect(self):
        for queue in self.queues():
            for compute in queue["ComputeResources"]:
                # GdrSupport has no effect since 3.0.2: GPUDirect comes with EFA where the instance has it.
                self.assertEqual(compute["Efa"], {"Enabled": True})

    def test_has_a_placement_group_in_every_queue(self):
        for queue in self.queues():
            self.assertEqual(queue["Networking"]["PlacementGroup"], {"Enabled": True})
            self.assertEqual(len(queue["Networking"]["SubnetIds"]), 1, "EFA does not cross availability zones")

    def test_has_all_nodes_in_the_security_group(self):
        for cluster in self.each():
            nodes = [cluster["HeadNode"], *cluster["Scheduling"]["SlurmQueues"]]
            for each in nodes:
                self.assertEqual(each["Networking"]["AdditionalSecurityGroups"], [VARIABLES["PENSTOCK_SECURITY_GROUP"]])

    def test_has_no_more_nodes_at_the_start_than_at_most(self):
        for queue in self.queues():
            for compute in queue["ComputeResources"]:
                self.assertLessEqual(compute["MinCount"], compute["MaxCount"])
                self.assertGreaterEqual(compute["MaxCount"], 2, "a measurement needs two nodes")

    def test_gives_a_core_to_a_task(self):
        for queue in self.queues():
            for compute in queue["ComputeResources"]:
                self.assertTrue(compute["DisableSimultaneousMultithreading"])

    def test_has_a_parallel_file_system(self):
        for cluster in self.each():
            kinds = {each["MountDir"]: each["StorageType"] for each in cluster["SharedStorage"]}
            self.assertEqual(kinds, {"/software": "Ebs", "/fsx": "FsxLustre"})

    def test_runs_scripts_that_exist_and_may_read_them_from_the_bucket(self):
        for cluster in self.each():
            mounted = [each["MountDir"] for each in cluster["SharedStorage"]]
            for node in [cluster["HeadNode"], *cluster["Scheduling"]["SlurmQueues"]]:
                action = node["CustomActions"]["OnNodeConfigured"]
                bucket, folder, name = action["Script"].removeprefix("s3://").split("/")
                self.assertEqual(node["Iam"]["S3Access"], [{"BucketName": bucket, "KeyName": f"{folder}/*"}])
                self.assertTrue(os.access(FOLDER / name, os.X_OK), name)
                self.assertIn(str(pathlib.PurePath(action["Args"][-1]).parent), mounted)

    def test_installs_where_the_compute_nodes_look(self):
        for cluster in self.each():
            prefixes = {node["CustomActions"]["OnNodeConfigured"]["Args"][-1]
                        for node in [cluster["HeadNode"], *cluster["Scheduling"]["SlurmQueues"]]}
            self.assertEqual(len(prefixes), 1)

    def test_of_both_is_that_of_one_and_a_queue_more(self):
        small, large = (yaml.safe_load(filled(name)) for name in CLUSTERS)
        large["Scheduling"]["SlurmQueues"].pop()

        self.assertEqual(small, large)


@unittest.skipUnless(yaml, "python3-yaml is missing; on Debian: apt-get install python3-yaml")
class SecurityGroup(unittest.TestCase):
    def setUp(self):
        self.resources = yaml.safe_load((FOLDER / "security-group.yaml").read_text())["Resources"]

    def test_lets_its_members_say_everything_to_each_other(self):
        itself = {"Fn::GetAtt": ["Nodes", "GroupId"]}
        for name, kind, peer in (("FromNodes", "AWS::EC2::SecurityGroupIngress", "SourceSecurityGroupId"),
                                 ("ToNodes", "AWS::EC2::SecurityGroupEgress", "DestinationSecurityGroupId")):
            rule = self.resources[name]
            self.assertEqual(rule["Type"], kind)
            self.assertEqual(rule["Properties"], {"GroupId": itself, "IpProtocol": "-1", peer: itself})

    def test_lets_nobody_else_in(self):
        self.assertNotIn("SecurityGroupIngress", self.resources["Nodes"]["Properties"])
        self.assertEqual([name for name, each in self.resources.items() if each["Type"].endswith("Ingress")], ["FromNodes"])


@unittest.skipUnless(yaml, "python3-yaml is missing; on Debian: apt-get install python3-yaml")
class Network(unittest.TestCase):
    def test_templates_say_what_the_page_asks_them_for(self):
        page = (SOURCE / "docs" / "aws.md").read_text()
        for stack, template in (("penstock-network", "network.yaml"), ("penstock-security", "security-group.yaml")):
            asked = set(re.findall(rf"output {stack} (\w+)", page))
            self.assertEqual(asked, set(yaml.safe_load((FOLDER / template).read_text())["Outputs"]))

    def test_has_both_subnets_in_one_zone(self):
        resources = yaml.safe_load((FOLDER / "network.yaml").read_text())["Resources"]

        self.assertEqual({resources[name]["Properties"]["AvailabilityZone"]["Ref"] for name in ("HeadSubnet", "ComputeSubnet")},
                         {"Zone"})
        self.assertNotIn("MapPublicIpOnLaunch", resources["ComputeSubnet"]["Properties"])


class NodeScripts(unittest.TestCase):
    """They run with stand-ins for what changes the machine or asks the network."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.tools = self.folder / "tools"
        self.tools.mkdir()
        self.prefix = self.folder / "software" / "penstock"
        self.said = self.folder / "said"
        self.stand_in("apt-get")
        self.stand_in("apt-cache", '[ "$2" != libcpp-httplib-dev ]')  # some releases lack one
        self.stand_in("aws", 'eval "cp $SOURCE_ARCHIVE \\"\\${$#}\\""')
        # What would be built is there.
        self.stand_in("cmake", f'[ "$1" != --install ] || {{ mkdir -p "$4/bin" && cp "{program()}" "$4/bin/"; }}')
        self.archive = self.folder / "penstock.tar.gz"
        with tarfile.open(self.archive, "w:gz") as archive:
            for name in ("CMakePresets.json", "packaging/runtime-packages"):
                archive.add(SOURCE / name, name)
        mpi = self.folder / "mpi" / "bin"
        mpi.mkdir(parents=True)
        (mpi / "mpicc").symlink_to("/bin/true")

    def stand_in(self, name, does=":"):
        path = self.tools / name
        path.write_text(f'#!/bin/bash\necho "{name} $*" >>"{self.said}"\n{does}\n')
        path.chmod(0o755)

    def run_script(self, name, *words, **env):
        environment = {**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}", "MPI_HOME": str(self.folder / "mpi"),
                       "MODULEFILES": str(self.folder / "modulefiles"), "SOURCE_ARCHIVE": str(self.archive),
                       "INFINIBAND_DEVICES": str(self.folder), "TMPDIR": str(self.folder), **env}
        return subprocess.run(["bash", FOLDER / name, *map(str, words)], env=environment, check=False, capture_output=True,
                              text=True, timeout=LONGEST_S)

    def install(self, source="s3://bucket/penstock/penstock.tar.gz"):
        done = self.run_script("head-node.sh", source, self.prefix)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done

    @unittest.skipUnless(shutil.which("dpkg-query"), "only where packages are Debian's")
    def test_of_the_head_node_installs_where_it_is_told_and_says_what_compute_nodes_need(self):
        done = self.install()

        self.assertIn("shm", done.stdout)
        self.assertIn("no package \"libcpp-httplib-dev\"", done.stderr)
        self.assertRegex(self.said.read_text(), "apt-get .* install .* libhwloc-dev libtrilinos-kokkos-dev\n")
        self.assertTrue((self.prefix / "source" / "CMakePresets.json").exists())
        packages = (self.prefix / "packages").read_text().split()
        self.assertIn("libc6", packages)
        self.assertTrue([each for each in packages if each.startswith("libfmt")], packages)
        self.assertEqual((self.folder / "modulefiles" / "penstock").readlink(),
                         self.prefix / "share" / "modulefiles" / "penstock")
        self.assertEqual([path for path in self.folder.iterdir() if path.name.startswith("tmp")], [])

    @unittest.skipUnless(shutil.which("dpkg-query"), "only where packages are Debian's")
    def test_of_a_compute_node_installs_what_the_head_node_has_found(self):
        self.install(self.archive)
        self.said.unlink()
        done = self.run_script("compute-node.sh", self.prefix)

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"penstock \d+\.\d+")
        self.assertIn("--no-install-recommends " + " ".join((self.prefix / "packages").read_text().split()), self.said.read_text())

    @unittest.skipUnless(shutil.which("dpkg-query"), "only where packages are Debian's")
    def test_of_a_compute_node_says_that_there_is_no_efa(self):
        self.install(self.archive)
        done = self.run_script("compute-node.sh", self.prefix, INFINIBAND_DEVICES=str(self.folder / "none"))

        self.assertEqual(done.returncode, 0)
        self.assertIn("no EFA device in", done.stderr)

    def test_of_a_compute_node_refuses_before_the_head_node_is_done(self):
        done = self.run_script("compute-node.sh", self.prefix)

        self.assertEqual(done.returncode, 1)
        self.assertIn("has head-node.sh come to its end?", done.stderr)
        self.assertFalse(self.said.exists())

    def test_of_the_head_node_refuses_without_an_mpi(self):
        done = self.run_script("head-node.sh", self.archive, self.prefix, MPI_HOME=str(self.folder / "none"))

        self.assertEqual(done.returncode, 1)
        self.assertIn("there is no MPI in", done.stderr)
        self.assertFalse(self.said.exists())

    def test_set_options_that_exist_and_install_packages_of_bootstrap(self):
        text = (FOLDER / "head-node.sh").read_text()
        cmake = "".join(path.read_text() for path in (SOURCE / "CMakeLists.txt", *SOURCE.glob("modules/cmake/*.cmake")))
        for option in re.findall(r"-D(PENSTOCK_\w+)", text):
            self.assertRegex(cmake, rf"(option|set)\({option} ")

        lists = {name: words.split() for name, words in re.findall(r"^(\w+_packages)=\(([^)]*)\)", (SOURCE / "bootstrap.sh").read_text(),
                                                                  re.MULTILINE)}
        installed = {package for words in re.findall(r"^(?:optional_)?packages=\(([^)]*)\)", text, re.MULTILINE)
                     for package in words.split()}
        all_of_them = set(lists["build_packages"]) | set(lists["optional_packages"])
        self.assertEqual(installed - all_of_them, set())
        left_out = {each for each in all_of_them - installed if not re.search("mpi|pmix|ucx|fabric|ccache", each)}
        self.assertEqual(left_out, set(), "head-node.sh leaves out what bootstrap.sh installs")

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is missing; on Debian: apt-get install shellcheck")
    def test_are_without_warnings(self):
        done = subprocess.run(["shellcheck", *(FOLDER / name for name in SCRIPTS)], check=False, capture_output=True, text=True,
                              timeout=LONGEST_S)

        self.assertEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
