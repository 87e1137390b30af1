#!/usr/bin/env python3
"""Checks the models of the protocol with spin: `check.py leases` that they hold, `check.py mutations` that a protocol with
a defect does not. README.md says what is checked."""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
SKIPPED = 77
MEMORY_MIB = 1800
DEPTH = 1_000_000
LIMIT_S = 240  # of one search, on a machine that does other things too

# What a search looks for: wrong assertions and ends at which somebody still waits, or a circle without progress although
# nobody is denied its turn for ever.
SAFETY = (["-DSAFETY"], [])
ASSERTIONS = (["-DSAFETY"], ["-E"])  # somebody may wait at the end
PROGRESS = (["-DNP", "-DNFAIR=3"], ["-l", "-f"])

# Small enough to be searched in seconds.
SMALL = {"CAPACITY": 1, "PAYLOADS_0": 2, "PAYLOADS_1": 1, "ROOM": 2, "RESTS": 1}
ONE_CONSUMER = {"CAPACITY": 2, "PAYLOADS_0": 2, "PAYLOADS_1": 1, "ROOM": 2, "RESTS": 1, "WORKING": 1}
TWO_CREDITS = {"CAPACITY": 2, "PAYLOADS_0": 1, "PAYLOADS_1": 1, "ROOM": 1, "RESTS": 0}
SCARCE = {"CAPACITY": 1, "PAYLOADS_0": 2, "PAYLOADS_1": 2, "ROOM": 2, "RESTS": 1, "WORKING": 1}

HOLDS = [
    ("leases", "one credit for each of two consumers", SMALL, SAFETY),
    ("leases", "two credits of one consumer, two producers", ONE_CONSUMER, SAFETY),
    ("leases", "two credits of a fast and one of a slow consumer", TWO_CREDITS, SAFETY),
    ("leases", "whoever wants a credit gets one", SCARCE, PROGRESS),
    ("leases", "the coordinator halts", {**SMALL, "PAYLOADS_0": 1, "PAUSE": 1}, ASSERTIONS),
    ("leases", "the coordinator halts, with two credits", {**ONE_CONSUMER, "PAUSE": 1}, ASSERTIONS),
    ("settlement", "two credits, full outboxes", {"CAPACITY": 2, "PAYLOADS": 4, "ROOM": 1}, SAFETY),
    ("settlement", "four credits", {"CAPACITY": 4, "PAYLOADS": 4, "ROOM": 2}, SAFETY),
]

ASSERTION, DEADLOCK, CIRCLE = "assertion violated", "invalid end state", "non-progress cycle"
SMALL_EDGE = {"CAPACITY": 2, "PAYLOADS": 4, "ROOM": 2}
FAILS = [
    ("leases", "no_recall", SCARCE, SAFETY, DEADLOCK),
    ("leases", "grant_twice", ONE_CONSUMER, SAFETY, ASSERTION),
    ("leases", "lease_twice", SMALL, SAFETY, ASSERTION),
    ("leases", "lost_give_back", SCARCE, SAFETY, ASSERTION),
    ("leases", "forget_question", SCARCE, SAFETY, DEADLOCK),
    ("leases", "unused_give_back", SCARCE, PROGRESS, CIRCLE),
    ("leases", "ask_twice", SCARCE, SAFETY, ASSERTION),
    ("leases", "coordinated_ticket", {**SMALL, "PAUSE": 1}, ASSERTIONS, ASSERTION),
    ("leases", "early_end", SMALL, SAFETY, ASSERTION),
    ("settlement", "settle_early", SMALL_EDGE, SAFETY, ASSERTION),
    ("settlement", "settle_twice", {**SMALL_EDGE, "CAPACITY": 4}, SAFETY, ASSERTION),
    ("settlement", "forget_held_back", {**SMALL_EDGE, "CAPACITY": 4}, SAFETY, ASSERTION),
    ("settlement", "early_ack", SMALL_EDGE, SAFETY, ASSERTION),
    ("settlement", "early_end", SMALL_EDGE, SAFETY, ASSERTION),
    ("settlement", "lost_credit", SMALL_EDGE, SAFETY, ASSERTION),
]


class Broken(Exception):
    """The check could not be made."""


def run(command, folder):
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Broken(f"{command[0]} was not done within {LIMIT_S} s")
    return result.returncode, result.stdout + result.stderr


def search(model, defines, kind):
    """Looks through all states. @return the first error and how many states there are."""
    compile_as, search_as = kind
    options = [f"-D{name}={value}" for name, value in defines.items()]
    with tempfile.TemporaryDirectory(prefix="penstock-model-") as folder:
        code, text = run(["spin", "-a", *options, str(HERE / f"{model}.pml")], folder)
        if code != 0 or "Error" in text or not (pathlib.Path(folder) / "pan.c").exists():
            raise Broken("spin cannot read the model:\n" + text)
        code, text = run(["cc", "-w", "-O1", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MIB}", *compile_as, "-o", "pan", "pan.c"], folder)
        if code != 0:
            raise Broken("the search does not compile:\n" + text)
        code, text = run(["./pan", f"-m{DEPTH}", *search_as], folder)
    errors = re.search(r"errors: (\d+)", text)
    states = re.search(r"(\d+) states, stored", text)
    if not errors or not states or "max search depth too small" in text or "out of memory" in text or "pan: reached" in text:
        raise Broken("the search did not come to its end:\n" + text)
    found = re.search(r"pan:\d+: (.*)", text)
    return (found.group(1) if found else "an error") if errors.group(1) != "0" else None, int(states.group(1))


def mutation_number(model, name):
    return re.search(rf"#define {name} (\d+) ", (HERE / f"{model}.pml").read_text()).group(1)


def check_holds():
    failed = 0
    for model, what, defines, kind in HOLDS:
        start = time.monotonic()
        error, states = search(model, defines, kind)
        print(f"{model}: {what}: {error or 'holds'}, {states} states, {time.monotonic() - start:.1f} s", flush=True)
        failed += error is not None
    return failed


def check_mutations():
    failed = 0
    for model, name, defines, kind, expected in FAILS:
        error, _ = search(model, {**defines, "MUTATION": mutation_number(model, name)}, kind)
        print(f"{model} with {name}: {error or 'NOT FOUND'}", flush=True)
        failed += error is None or expected not in error
    return failed


def main():
    checks = {"leases": check_holds, "mutations": check_mutations}
    if len(sys.argv) != 2 or sys.argv[1] not in checks:
        print(f"usage: check.py {'|'.join(checks)}", file=sys.stderr)
        return 2
    for tool in ("spin", "cc"):
        if not shutil.which(tool):
            print(f"check.py: skipped: there is no {tool}")
            return SKIPPED
    try:
        return 1 if checks[sys.argv[1]]() else 0
    except Broken as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
