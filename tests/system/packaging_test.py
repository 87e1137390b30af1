"""The Spack recipe and the Apptainer definition name options, packages and files that exist. Nothing is downloaded."""

import contextlib
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import types
import unittest

from penstock_runs import SOURCE, program

SPACK = SOURCE / "packaging" / "spack" / "spack_repo" / "penstock"
RECIPE = SPACK / "packages" / "penstock" / "package.py"
APPTAINER = SOURCE / "packaging" / "apptainer" / "penstock.def"
RUNTIME_PACKAGES = SOURCE / "packaging" / "runtime-packages"
CMAKE = "".join(path.read_text() for path in (SOURCE / "CMakeLists.txt", *sorted(SOURCE.glob("modules/cmake/*.cmake"))))
LONGEST_S = 60


def bootstrap_packages():
    lists = re.findall(r"^\w+_packages=\(([^)]*)\)", (SOURCE / "bootstrap.sh").read_text(), re.MULTILINE)
    return {package for words in lists for package in words.split()}


class Spec:
    """A concrete spec: so much of it as the recipe asks about."""

    def __init__(self, variants):
        self.variants = variants

    def satisfies(self, text):
        asked = re.findall(r"([+~])(\w+)", text)
        assert "".join(sign + name for sign, name in asked) == text, f"the test knows nothing of \"{text}\""
        return all(self.variants[name] == (sign == "+") for sign, name in asked)


class CMakePackage:
    """What Spack gives a recipe."""

    def define(self, name, value):
        return f"-D{name}:BOOL={'ON' if value else 'OFF'}"

    def define_from_variant(self, name, variant):
        return self.define(name, self.spec.variants[variant])


class Recipe:
    """The recipe, read with stand-ins for Spack that note what it declares."""

    def __init__(self):
        self.said = []
        api = types.ModuleType("spack.package")
        for name in ("license", "version", "variant", "depends_on", "conflicts", "generator"):
            setattr(api, name, self.noter(name))
        build_system = types.ModuleType("spack_repo.builtin.build_systems.cmake")
        build_system.CMakePackage = CMakePackage
        with self.stand_ins({"spack.package": api, build_system.__name__: build_system}):
            spec = importlib.util.spec_from_file_location("penstock_recipe", RECIPE)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        self.package = module.Penstock

    def noter(self, name):
        return lambda *words, **keys: self.said.append((name, words, keys))

    @contextlib.contextmanager
    def stand_ins(self, modules):
        parents = {name.rsplit(".", depth)[0] for name in modules for depth in range(1, name.count(".") + 1)}
        added = {**{name: types.ModuleType(name) for name in parents}, **modules}
        sys.modules.update(added)
        try:
            yield
        finally:
            for name in added:
                del sys.modules[name]

    def variants(self):
        return [words[0] for name, words, _ in self.said if name == "variant"]

    def dependencies(self):
        return [words[0] for name, words, _ in self.said if name == "depends_on"]

    def options(self, **changes):
        """What CMake is given, by name."""
        package = self.package()
        package.spec = Spec({**dict.fromkeys(self.variants(), True), **changes})
        pairs = [re.fullmatch(r"-D(\w+):BOOL=(ON|OFF)", each).groups() for each in package.cmake_args()]
        assert len(dict(pairs)) == len(pairs), "an option is given twice"
        return dict(pairs)


class Spack(unittest.TestCase):
    def setUp(self):
        self.recipe = Recipe()

    def test_gives_options_that_exist(self):
        for name in self.recipe.options():
            if name != "BUILD_SHARED_LIBS":
                self.assertRegex(CMAKE, rf"(option|set)\({name} ")

    def test_leaves_no_feature_to_what_the_machine_happens_to_have(self):
        features = set(re.findall(r"^set\((PENSTOCK_\w+) AUTO CACHE", CMAKE, re.MULTILINE))

        self.assertEqual(features - set(self.recipe.options()), set(), "add them to FEATURES of the recipe")

    def test_switches_a_feature_off_with_its_variant(self):
        for variant in self.recipe.variants():
            if variant != "shared":
                self.assertEqual(self.recipe.options(**{variant: False})[f"PENSTOCK_{variant.upper()}"], "OFF")
                self.assertEqual(self.recipe.options()[f"PENSTOCK_{variant.upper()}"], "ON")

    def test_has_shared_hdf5_files_where_there_are_both(self):
        self.assertEqual(self.recipe.options()["PENSTOCK_HDF5_MPI"], "ON")
        for variant in ("mpi", "hdf5"):
            self.assertEqual(self.recipe.options(**{variant: False})["PENSTOCK_HDF5_MPI"], "OFF")

    def test_asks_for_the_versions_that_the_build_asks_for(self):
        least = [dependency.partition("@")[2].rstrip(":") for dependency in self.recipe.dependencies()]

        for version in filter(None, least):
            self.assertRegex(CMAKE, rf"(VERSION |VERSION_LESS |>=|nlohmann_json |CLI11 |penstock_find_by_pkg_config\(\S+ \S+ \S+ ){re.escape(version)}\b")

    def test_takes_the_sources_that_it_lies_in(self):
        self.assertEqual(self.recipe.package.git, SOURCE.resolve().as_uri())

    def test_is_a_repository_of_recipes(self):
        self.assertRegex((SPACK / "repo.yaml").read_text(), r"(?m)^  namespace: penstock\n  api: v2\.\d$")
        self.assertEqual(SPACK.parent.name, "spack_repo")


class Apptainer(unittest.TestCase):
    def setUp(self):
        self.text = APPTAINER.read_text()

    def scripts(self):
        return re.findall(r"^%(?:post|test|runscript|environment)\n((?:    .*\n)+)", self.text, re.MULTILINE)

    def test_has_the_packages_of_bootstrap(self):
        build, final = self.text.split("Stage: final")

        self.assertIn("./bootstrap.sh build\n", build)
        self.assertNotIn("apt-get install", build)
        named = re.findall(r"apt-get install (.*)", final)
        self.assertEqual(len(named), 1)
        by_hand = {word for word in named[0].replace("$(cat /opt/penstock/packages)", "").split() if not word.startswith("-")}
        self.assertEqual(by_hand - bootstrap_packages(), set())

    def test_uses_files_that_exist(self):
        for name in ("bootstrap.sh", "packaging/runtime-packages", "jobs/streaming-demo.json"):
            self.assertIn(name.removeprefix("jobs/"), self.text)
            self.assertTrue((SOURCE / name).exists(), name)

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is missing; on Debian: apt-get install shellcheck")
    def test_has_scripts_without_warnings(self):
        for script in self.scripts():
            done = subprocess.run(["shellcheck", "-s", "sh", "-"], input=script, check=False, capture_output=True, text=True,
                                  timeout=LONGEST_S)
            self.assertEqual(done.stdout, "")
        self.assertEqual(len(self.scripts()), 5)

    def test_builds(self):
        apptainer = shutil.which("apptainer") or shutil.which("singularity")
        if not apptainer or os.environ.get("PENSTOCK_BUILD_IMAGE") != "1":
            self.skipTest("it downloads an image and needs apptainer: PENSTOCK_BUILD_IMAGE=1 asks for it")
        with tempfile.TemporaryDirectory(prefix="penstock-image-") as folder:
            subprocess.run([apptainer, "build", "--fakeroot", pathlib.Path(folder) / "penstock.sif", APPTAINER], check=True,
                           cwd=SOURCE, timeout=3600)


class RuntimePackages(unittest.TestCase):
    def run_script(self, *words):
        return subprocess.run([RUNTIME_PACKAGES, *words], check=False, capture_output=True, text=True, timeout=LONGEST_S)

    @unittest.skipUnless(shutil.which("dpkg-query"), "only where packages are Debian's")
    def test_are_those_of_the_libraries(self):
        packages = self.run_script(program()).stdout.split()

        self.assertIn("libc6", packages)
        self.assertTrue([each for each in packages if each.startswith("libfmt")], packages)
        if list(pathlib.Path(program()).parents[1].glob("lib*/**/penstock/penstock_hdf5.so")):
            self.assertTrue([each for each in packages if each.startswith("libhdf5")], packages)
        if b"libfabric.so.1" in pathlib.Path(program()).read_bytes():
            self.assertIn("libfabric1", packages)
        self.assertEqual(packages, sorted(set(packages)))
        installed = subprocess.run(["dpkg-query", "-W", *packages], check=False, capture_output=True, text=True, timeout=LONGEST_S)
        self.assertEqual(installed.returncode, 0, installed.stderr)

    def test_of_nothing_are_refused(self):
        for words in ((), ("/nowhere/penstock",)):
            self.assertEqual(self.run_script(*words).returncode, 2)


if __name__ == "__main__":
    unittest.main()
