"""Runs the program as a user would, reads what a run leaves and holds that nothing else is left.

The environment says where things are: PENSTOCK_PROGRAM, PENSTOCK_TEST_PROGRAM (the same with operators that fail on
purpose), PENSTOCK_SOURCE_DIR and, for MPI, PENSTOCK_MPIEXEC.
"""

import json
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import uuid

SOURCE = pathlib.Path(os.environ.get("PENSTOCK_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[2]))
DEMO = SOURCE / "jobs" / "streaming-demo.json"
FAN_OUT = SOURCE / "jobs" / "fan-out.json"

MARK = "PENSTOCK_TEST_MARK"
SHM = pathlib.Path("/dev/shm")
LONGEST_RUN_S = 60


def program():
    return os.environ["PENSTOCK_PROGRAM"]


def program_with_faults():
    return os.environ["PENSTOCK_TEST_PROGRAM"]


def mpiexec(ranks):
    return shlex.split(os.environ["PENSTOCK_MPIEXEC"]) + [str(ranks)]


def is_built(transport):
    """Whether the program has that transport."""
    listed = json.loads(subprocess.run([program(), "transports", "--json"], check=True, capture_output=True).stdout)
    return any(entry["name"] == transport and entry["built"] for entry in listed)


# --- pipelines ---


def stage(name, operator, instances=1, env=None, **params):
    spec = {"name": name, "operator": operator, "instances": instances, "params": params}
    return {**spec, "env": env} if env else spec


def channel(source, target, **keys):
    return {"from": source, "to": target, **keys}


def line_of(*stages, **keys):
    """A pipeline whose stages follow each other, all channels with the same keys."""
    names = [each["name"] for each in stages]
    return {"stages": list(stages), "channels": [channel(a, b, **keys) for a, b in zip(names, names[1:])]}


def set_all(settings):
    """The options that apply "stage.param=value" each."""
    return [word for each in settings for word in ("--set", each)]


# --- processes ---


def wait_until(condition, what, seconds=LONGEST_RUN_S):
    """Asks until the answer is true and returns it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not after {seconds} s: {what}")
        time.sleep(0.002)


def read_bytes(path):
    try:
        return path.read_bytes()
    except OSError:  # the process has ended, or is somebody else's
        return b""


class Process:
    """A living process."""

    def __init__(self, pid):
        self.pid = pid
        self.proc = pathlib.Path("/proc") / str(pid)

    @property
    def label(self):
        """What it is called in the run, cut to 15 characters; the program's name for a coordinator."""
        return read_bytes(self.proc / "comm").decode().rstrip("\n")

    @property
    def environment(self):
        entries = read_bytes(self.proc / "environ").decode(errors="replace").split("\0")
        return {name: value for name, _, value in (entry.partition("=") for entry in entries)}

    def kill(self, number=signal.SIGKILL):
        os.kill(self.pid, number)

    def holds(self, path):
        """Whether it has the file open or mapped."""
        try:
            opened = {os.readlink(entry) for entry in (self.proc / "fd").iterdir()}
        except OSError:
            return False
        return str(path) in opened or str(path).encode() in read_bytes(self.proc / "maps")


def all_processes():
    return [Process(int(entry.name)) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()]


def shm_entries():
    return set(SHM.iterdir()) if SHM.is_dir() else set()


def is_mine(path):
    try:
        return path.stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


class Run:
    """A run under way. Its processes inherit a mark by which they are found, whoever their parent is by then."""

    def __init__(self, words, folder, cwd, env, preexec):
        self.mark = uuid.uuid4().hex
        self.scratch = folder / "tmp"
        self.scratch.mkdir(parents=True)
        self.shm_before = shm_entries()
        self.out_path = folder / "out"
        self.err_path = folder / "err"
        self.words = [str(word) for word in words]
        environment = {**os.environ, "TMPDIR": str(self.scratch), "XDG_CACHE_HOME": str(self.scratch / "cache"), MARK: self.mark, **(env or {})}
        with open(self.out_path, "wb") as out, open(self.err_path, "wb") as err:
            self.popen = subprocess.Popen(self.words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, cwd=cwd,
                                          env=environment, preexec_fn=preexec, restore_signals=preexec is None)

    @property
    def out(self):
        return self.out_path.read_text(errors="replace")

    @property
    def err(self):
        return self.err_path.read_text(errors="replace")

    def processes(self):
        mark = f"{MARK}={self.mark}".encode()
        return [each for each in all_processes() if mark in read_bytes(each.proc / "environ")]

    def is_gone(self):
        """No process is left, seen twice: one that is just becoming another program has no environment to read."""
        if self.processes():
            return False
        time.sleep(0.02)
        return not self.processes()

    def process(self, label):
        """The process of that instance, as soon as it lives."""
        def find():
            found = [each for each in self.processes() if each.label == label]
            return found[0] if found else self.has_ended()
        found = wait_until(find, f"no process {label}")
        assert found is not True, f"the run ended before there was a process {label}:\n{self.err}"
        return found

    def send(self, number):
        self.popen.send_signal(number)

    def wait(self, seconds=LONGEST_RUN_S):
        """Waits for the end. @return the exit code, negative for a signal."""
        try:
            wait_until(self.has_ended, f"the end of {shlex.join(self.words)}", seconds)
        except AssertionError as late:
            said = self.err[-4000:]
            self.destroy()
            raise AssertionError(f"{late}\n{said}") from None
        return self.popen.returncode

    def has_ended(self):
        if self.popen.returncode is None:
            pid, status, usage = os.wait4(self.popen.pid, os.WNOHANG)
            if pid != 0:
                self.popen.returncode = os.waitstatus_to_exitcode(status)
                self.usage = usage
        return self.popen.returncode is not None

    def cpu_seconds(self):
        """Of all its processes together. REQUIRES: it has ended."""
        return self.usage.ru_utime + self.usage.ru_stime

    def voluntary_switches(self):
        """How often the process went to sleep. REQUIRES: it has ended."""
        return self.usage.ru_nvcsw

    def most_resident_bytes(self):
        """Of the largest of its processes, shared memory included. REQUIRES: it has ended."""
        return self.usage.ru_maxrss * 1024

    def destroy(self):
        for process in self.processes():
            try:
                process.kill(signal.SIGKILL)
            except ProcessLookupError:
                pass
        wait_until(self.has_ended, "the end of a killed process", seconds=10)

    def shm_left(self):
        """New entries that nobody else uses: other programs on the machine make some of their own."""
        mine = {process.pid for process in self.processes()}
        others = [each for each in all_processes() if each.pid not in mine]
        new = [path for path in shm_entries() - self.shm_before if is_mine(path)]
        return [path for path in new if not any(each.holds(path) for each in others)]


# --- what a run leaves ---


class RunFolder:
    """The run directory."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def json(self, name):
        return json.loads((self.path / name).read_text())

    @property
    def stats(self):
        return self.json("stats.json")

    @property
    def status(self):
        return self.json("status.json")

    def log(self, label):
        """The lines of one process's log, each parsed."""
        return [json.loads(text) for text in (self.path / "logs" / f"{label}.jsonl").read_text().splitlines()]

    def messages(self, label):
        return [entry["message"] for entry in self.log(label)]

    def result(self, name="results.csv"):
        return self.path / "results" / name

    def counter(self, stage_name, counter):
        found = next(each for each in self.stats["stages"] if each["name"] == stage_name)
        return found.get("counters", {}).get(counter, 0)

    def instance_counters(self, stage_name, counter):
        found = next(each for each in self.stats["stages"] if each["name"] == stage_name)
        return [each.get("counters", {}).get(counter, 0) for each in found["instances"]]

    def channel(self, name, source="stats.json"):
        """Its totals. A run that was cut off has no stats.json, but the last status.json."""
        return next(each for each in self.json(source)["channels"] if each["name"] == name)


def rows_of(path):
    """(id, value) of each complete row below the header."""
    text = path.read_text()
    whole = text[: text.rfind("\n") + 1]
    lines = whole.splitlines()
    if not lines:
        return []
    assert lines[0] == "record_id,value,timestamp", lines[0]
    fields = [line.split(",") for line in lines[1:]]
    assert all(len(each) == 3 for each in fields)
    return [(int(each[0]), float(each[1])) for each in fields]


# --- test cases ---


class RunTestCase(unittest.TestCase):
    """A folder for each test; when the test is over nothing of its runs may be left."""

    maxDiff = 2000

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="penstock-test-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.runs_dir = self.folder / "runs"
        self.started = []

    def tearDown(self):
        for run in self.started:
            unfinished = not run.has_ended()
            if unfinished:
                run.destroy()
            self.assertFalse(unfinished, f"the test did not wait for {shlex.join(run.words)}")
            self.assert_nothing_left(run)

    def start_command(self, words, cwd=None, env=None, preexec=None):
        folder = self.folder / f"process-{len(self.started)}"
        run = Run(words, folder, cwd or self.folder, env, preexec)
        self.started.append(run)
        return run

    def command(self, *words, cwd=None, env=None):
        """Runs the program with these words to its end."""
        run = self.start_command([program(), *words], cwd=cwd, env=env)
        run.wait()
        return run

    def write(self, spec, name="pipeline.json"):
        path = self.folder / name
        path.write_text(json.dumps(spec))
        return path

    def start(self, pipeline, *options, launcher=(), faults=False, runs_dir=None, cwd=None, env=None, preexec=None):
        """Starts a run of a file or a specification."""
        path = self.write(pipeline) if isinstance(pipeline, dict) else pipeline
        options = ["--runs-dir", runs_dir or self.runs_dir, *options]
        words = [program_with_faults(), *options, path] if faults else [program(), "run", path, *options]
        return self.start_command([*launcher, *words], cwd=cwd, env=env, preexec=preexec)

    def run_to_end(self, pipeline, *options, code=0, **more):
        """Runs to its end. @return the run directory, and with a `code` that is not 0 also what it said."""
        run = self.start(pipeline, *options, **more)
        self.assert_code(run, code)
        return self.folder_of(run) if code == 0 else (self.folder_of(run), run.err)

    def folder_of(self, run):
        said = re.search(r"^run directory: (.*)$", run.out, re.MULTILINE)
        self.assertIsNotNone(said, f"no run directory is named:\n{run.out}\n{run.err}")
        return RunFolder(said[1])

    def only_folder(self):
        """The one run directory there is, also when the program could not name it any more."""
        folders = list(self.runs_dir.iterdir()) if self.runs_dir.is_dir() else []
        self.assertEqual(len(folders), 1, folders)
        return RunFolder(folders[0])

    def wait_for_state(self, state):
        """Of the one run there is."""
        def reached():
            return any(RunFolder(path.parent).status["state"] == state for path in self.runs_dir.glob("*/status.json"))
        wait_until(reached, f"the run is {state}")

    def assert_code(self, run, code, seconds=LONGEST_RUN_S):
        self.assertEqual(run.wait(seconds), code, f"{shlex.join(run.words)}\n{run.err[-4000:]}")

    def assert_nothing_left(self, run, seconds=5):
        """The kernel may take that long to clear up behind a process that was killed."""
        try:
            # With the processes go their memory files: nobody else ever opens one.
            wait_until(run.is_gone, "the processes of the run are gone", seconds)
        except AssertionError:
            left = [f"{process.label} ({process.pid})" for process in run.processes()]
            run.destroy()
            raise AssertionError(f"processes are left: {', '.join(left)}") from None
        wait_until(lambda: not run.shm_left(), f"{SHM} is clean: {run.shm_left()}", seconds)
        self.assertEqual(sorted(path.name for path in run.scratch.iterdir()), [], "left in the temporary folder")

    def assert_demo_rows(self, path, ids, times=1):
        """Every id as often as it should be there, and each value three times the id."""
        rows = rows_of(path)
        self.assertEqual([row for row in rows if row[1] != 3.0 * row[0]][:3], [])
        found = sorted(row[0] for row in rows)
        self.assertEqual(len(found), times * len(ids))
        self.assertTrue(found == sorted(list(ids) * times), "some ids are missing or there twice")
