"""What an administrator gets: an installed tree has manual pages, completion and modulefiles, and the modules work in Environment
Modules and in Lmod. PENSTOCK_BUILD and PENSTOCK_CMAKE say what is installed and with what."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

LONGEST_S = 240
MODULES_INIT = "/usr/share/modules/init/bash"
LMOD_INIT = "/usr/share/lmod/lmod/init/bash"


def call(*words, code=0, env=None):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=LONGEST_S, env=env)
    assert done.returncode == code, f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="penstock-installed-")
        cls.addClassCleanup(folder.cleanup)
        cls.prefix = pathlib.Path(folder.name).resolve() / "opt"
        call(os.environ["PENSTOCK_CMAKE"], "--install", os.environ["PENSTOCK_BUILD"], "--prefix", cls.prefix)
        cls.version = call(cls.prefix / "bin" / "penstock", "--version").stdout.split()[1]


class ManPages(Installed):
    def pages(self):
        return sorted((self.prefix / "share" / "man" / "man1").glob("*.1"))

    def test_are_there_for_every_command_and_readable_by_all(self):
        names = [page.name for page in self.pages()]

        for name in ("penstock.1", "penstock-run.1", "penstock-report.1", "penstock-telemetry-query.1"):
            self.assertIn(name, names)
        self.assertEqual({page.stat().st_mode & 0o777 for page in self.pages()}, {0o644})

    def test_are_without_warnings(self):
        if shutil.which("groff") is None:
            self.skipTest("groff is missing; on Debian: apt-get install groff-base")
        for page in self.pages():
            with self.subTest(page=page.name):
                self.assertEqual(call("groff", "-man", "-ww", "-z", "-Tutf8", "-K", "utf8", page).stderr, "")

    def test_can_be_read_with_man(self):
        if shutil.which("man") is None:
            self.skipTest("man is missing; on Debian: apt-get install man-db")
        for page in self.pages():
            shown = call("man", "--warnings", "-l", page,
                         env={**os.environ, "MANROFFOPT": "", "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "MANWIDTH": "100"})
            if "minimized" in shown.stdout:
                self.skipTest("man is a stand-in here, as in small containers; on Debian: unminimize")
            with self.subTest(page=page.name):
                self.assertEqual(shown.stderr, "")
                self.assertIn("SYNOPSIS", shown.stdout)


class Modulefiles(Installed):
    """The same for both programs: `init` defines the command, `folder` has our modulefile."""

    def module(self, init, folder, script, code=0):
        if not pathlib.Path(init).exists():
            self.skipTest(f"{init} is missing; on Debian: apt-get install {'lmod' if 'lmod' in init else 'environment-modules'}")
        keep = {name: os.environ[name] for name in ("HOME", "TMPDIR") if name in os.environ}
        clean = {**keep, "PATH": "/usr/local/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "LMOD_PAGER": "none"}
        return call("bash", "--norc", "-c", f'source {init}\nmodule use "{self.prefix}/share/{folder}"\n{script}', code=code, env=clean)

    def check(self, init, folder):
        shown = self.module(init, folder, """
            module load penstock
            command -v penstock; echo "$LD_LIBRARY_PATH"; echo "$CMAKE_PREFIX_PATH"; echo "$PENSTOCK_ROOT"; echo "$XDG_DATA_DIRS"
            penstock --version
            echo "MANPATH $MANPATH"
        """).stdout.splitlines()
        self.assertEqual(shown[:6], [f"{self.prefix}/bin/penstock", f"{self.prefix}/lib", str(self.prefix), str(self.prefix),
                                     f"{self.prefix}/share:/usr/local/share:/usr/share", f"penstock {self.version}"])
        self.assertTrue(shown[6].startswith(f"MANPATH {self.prefix}/share/man:"), shown[6])

    def check_unload(self, init, folder):
        shown = self.module(init, folder, """
            before=$(env | grep -v -e ^_ -e MODULE -e LMOD | sort)
            module load penstock; module unload penstock
            diff <(echo "$before") <(env | grep -v -e ^_ -e MODULE -e LMOD | sort) && echo same
        """)
        self.assertEqual(shown.stdout, "same\n", shown.stderr)

    def check_help(self, init, folder):
        shown = self.module(init, folder, "module whatis penstock 2>&1; module help penstock 2>&1").stdout

        self.assertIn("streams payloads" if "streams payloads" in shown else "stream payloads", shown)
        self.assertIn("find_package(penstock)", shown)

    def check_conflict(self, init, folder):
        with tempfile.TemporaryDirectory() as other:
            (pathlib.Path(other) / "penstock").mkdir()
            (pathlib.Path(other) / "penstock" / "0.0.1").write_text("#%Module1.0\nsetenv OTHER 1\n")
            shown = self.module(init, folder, f"""
                module use "{other}"
                module load penstock/0.0.1; module load penstock/{self.version} 2>&1
                module list 2>&1
            """).stdout
        # One refuses, the other swaps: never both.
        self.assertFalse("penstock/0.0.1" in shown.split("Currently")[-1] and f"penstock/{self.version}" in shown.split("Currently")[-1],
                         shown)

    def test_work_in_environment_modules(self):
        self.check(MODULES_INIT, "modulefiles")
        self.check_unload(MODULES_INIT, "modulefiles")
        self.check_help(MODULES_INIT, "modulefiles")
        self.check_conflict(MODULES_INIT, "modulefiles")

    def test_work_in_lmod(self):
        self.check(LMOD_INIT, "lmod")
        self.check_unload(LMOD_INIT, "lmod")
        self.check_help(LMOD_INIT, "lmod")
        self.check_conflict(LMOD_INIT, "lmod")

    def test_of_tcl_work_in_lmod_too(self):
        self.check(LMOD_INIT, "modulefiles")

    def test_bring_completion_to_bash(self):
        if not pathlib.Path("/usr/share/bash-completion/bash_completion").exists():
            self.skipTest("bash-completion is missing; on Debian: apt-get install bash-completion")
        shown = self.module(MODULES_INIT, "modulefiles", """
            module load penstock
            source /usr/share/bash-completion/bash_completion
            _completion_loader penstock
            complete -p penstock
        """).stdout

        self.assertIn("_penstock", shown)

    def test_leave_the_manual_of_the_system_readable(self):
        if shutil.which("manpath") is None:
            self.skipTest("manpath is missing; on Debian: apt-get install man-db")
        shown = self.module(MODULES_INIT, "modulefiles", "module load penstock; manpath 2>/dev/null").stdout.strip().split(":")

        self.assertIn(f"{self.prefix}/share/man", shown)
        self.assertIn("/usr/share/man", shown)

    def test_have_the_paths_of_use_in_a_staged_installation(self):
        with tempfile.TemporaryDirectory() as stage:
            call(os.environ["PENSTOCK_CMAKE"], "--install", os.environ["PENSTOCK_BUILD"], "--prefix", "/opt/site/penstock",
                 env={**os.environ, "DESTDIR": stage})
            share = pathlib.Path(stage) / "opt/site/penstock/share"
            for path in (share / "modulefiles/penstock" / self.version, share / "lmod/penstock" / f"{self.version}.lua"):
                self.assertIn("/opt/site/penstock/bin", path.read_text())
                self.assertNotIn(stage, path.read_text())


class PartsOfTheProgram(Installed):
    """HDF5 and HTTP, which it loads from files of their own when it needs them."""

    def setUp(self):
        if not list(self.prefix.glob("lib*/**/penstock_hdf5.so")):
            self.skipTest("the program was built without HDF5, or as one piece")
        folder = tempfile.TemporaryDirectory(prefix="penstock-parts-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_into(self, sink, program, code=0):
        file = self.folder / f"{sink}.json"
        file.write_text(json.dumps({"stages": [{"name": "make", "operator": "vector", "params": {"count": 3}},
                                               {"name": "keep", "operator": sink}],
                                    "channels": [{"from": "make", "to": "keep"}]}))
        return call(program, "run", file, "--runs-dir", self.folder / "runs", "--no-progress", code=code)

    def test_are_found_wherever_the_tree_is_moved_to(self):
        moved = self.folder / "with a space" / "tree"
        shutil.copytree(self.prefix, moved, symlinks=True)

        self.run_into("hdf5_sink", moved / "bin" / "penstock")

        self.assertTrue(list(self.folder.glob("runs/*/results/*.h5")))

    def test_are_missed_by_name_and_only_by_who_needs_them(self):
        alone = self.folder / "bin" / "penstock"
        alone.parent.mkdir()
        shutil.copy(self.prefix / "bin" / "penstock", alone)

        self.run_into("null", alone)
        said = self.run_into("hdf5_sink", alone, code=1).stderr

        self.assertIn("penstock_hdf5.so", said)
        self.assertIn("install the program and its modules again", said)

    def test_of_another_version_are_refused(self):
        moved = self.folder / "tree"
        shutil.copytree(self.prefix, moved, symlinks=True)
        (module,) = moved.glob("lib*/**/penstock_hdf5.so")
        version = self.version.encode()
        module.write_bytes(module.read_bytes().replace(b"\0" + version + b"\0", b"\0" + version[:-1] + b"x\0"))

        said = self.run_into("hdf5_sink", moved / "bin" / "penstock", code=1).stderr

        self.assertIn(f"it is of another version than {self.version}", said)

    def test_hold_all_that_needs_hdf5_and_http(self):
        if shutil.which("readelf") is None:
            self.skipTest("readelf is missing; on Debian: apt-get install binutils")

        needed = call("readelf", "--dynamic", self.prefix / "bin" / "penstock").stdout

        self.assertNotIn("libhdf5", needed)
        self.assertNotIn("httplib", needed)


class DebianPackage(unittest.TestCase):
    def test_has_all_but_the_modulefiles_and_says_what_it_needs(self):
        for tool in ("cpack", "dpkg-deb", "dpkg-shlibdeps"):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is missing; on Debian: apt-get install cmake dpkg-dev")
        with tempfile.TemporaryDirectory(prefix="penstock-package-") as folder:
            call("cpack", "-G", "DEB", "--config", f"{os.environ['PENSTOCK_BUILD']}/CPackConfig.cmake", "-B", folder, "-D",
                 "CPACK_DEBIAN_COMPRESSION_TYPE=gzip")
            (package,) = pathlib.Path(folder).glob("penstock_*.deb")
            about = call("dpkg-deb", "--info", package).stdout
            files = {line.split(maxsplit=5)[5] for line in call("dpkg-deb", "--contents", package).stdout.splitlines()}

        for expected in ("Package: penstock", "libc6 (>=", "libfmt", "Section: science"):
            self.assertIn(expected, about)
        for expected in ("./usr/bin/penstock", "./usr/include/penstock/penstock.hpp", "./usr/share/man/man1/penstock-run.1",
                         "./usr/share/bash-completion/completions/penstock"):
            self.assertIn(expected, files)
        self.assertTrue(any(name.endswith("penstockConfig.cmake") for name in files))
        if any(name.endswith("penstock_hdf5.so") for name in files):
            self.assertIn("libhdf5", about)
        self.assertFalse([name for name in files if "modulefiles" in name or "lmod" in name])
        self.assertFalse([name for name in files if not name.startswith("./usr/") and name not in ("./", "./usr/")])


if __name__ == "__main__":
    unittest.main()
