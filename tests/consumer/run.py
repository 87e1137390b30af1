#!/usr/bin/env python3
"""Installs penstock into a temporary place, builds the programs of jobs/ against it, runs them and checks what they
print."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

EXPECTED = ["0 10 20 30", "40 50 60 70", "80 90 100 110"]


def call(*command, **options):
    """Runs a command; when it fails, shows what it said and ends."""
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=240, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="build folder of penstock, already built")
    parser.add_argument("--source", type=pathlib.Path, required=True, help="folder of the hello project")
    parser.add_argument("--cmake", default="cmake")
    parser.add_argument("--generator", required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("--flags", default="", help="compiler flags that penstock was built with")
    return parser.parse_args()


def main():
    arguments = read_arguments()
    with tempfile.TemporaryDirectory(prefix="penstock-consumer-") as folder:
        prefix = pathlib.Path(folder, "prefix")
        build = pathlib.Path(folder, "build")
        call(arguments.cmake, "--install", arguments.build, "--prefix", prefix)
        call(arguments.cmake, "-S", arguments.source, "-B", build, "-G", arguments.generator,
             f"-DCMAKE_PREFIX_PATH={prefix}", f"-DCMAKE_CXX_COMPILER={arguments.compiler}",
             f"-DCMAKE_CXX_FLAGS={arguments.flags}")
        call(arguments.cmake, "--build", build)
        pongs = call(build / "ping", "100", cwd=folder).strip()
        call(build / "gpu", "--launch", "local", arguments.source / "gpu.json", cwd=folder,
             env={**os.environ, "CUDA_VISIBLE_DEVICES": "0,1"})  # it computes on the host
        scaled = next(pathlib.Path(folder).glob("runs/gpu-*/results/results.jsonl")).read_text().splitlines()
        printed = call(build / "hello", "--launch", "local", arguments.source / "hello.json", cwd=folder)
    lines = [line.strip() for line in printed.splitlines()]
    numbers = [line for line in lines if line and all(part.isdigit() for part in line.split())]
    if numbers != EXPECTED:
        sys.exit(f"expected {EXPECTED}, got {lines}")
    if [0, 10, 20] not in [json.loads(line)["values"] for line in scaled] or len(scaled) != 20:
        sys.exit(f"expected 20 vectors of numbers ten times as large, got {scaled[:3]}")
    if pongs != "800 pongs for 800 pings":
        sys.exit(f"expected 800 pongs, got {pongs!r}")
    print("consumer: ok")


if __name__ == "__main__":
    main()
