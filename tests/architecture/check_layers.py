#!/usr/bin/env python3
"""Fails if an #include breaks the layering. Usage: check_layers.py [repository root]."""

import fnmatch
import pathlib
import re
import sys

# Layer: the layers it may include besides itself. Read top-down: data flows this way.
MAY_INCLUDE = {
    "cli": {"doctor", "http", "report", "calls", "launch", "runtime", "plan", "spec", "operators", "kernels", "transports", "memory", "codec", "base"},
    "doctor": {"report", "launch", "runtime", "transports", "memory", "codec", "base"},
    "http": {"runtime", "base"},
    "report": {"launch", "base"},
    "calls": {"launch", "runtime", "plan", "spec", "operators", "transports", "memory", "base"},
    "launch": {"runtime", "plan", "spec", "operators", "transports", "memory", "base"},
    "runtime": {"plan", "spec", "operators", "kernels", "transports", "memory", "codec", "base"},
    "plan": {"spec", "operators", "codec", "base"},
    "spec": {"base"},
    "operators": {"kernels", "memory", "base"},
    "kernels": {"base"},
    "transports": {"memory", "base"},
    "memory": {"base"},
    "codec": {"base"},
    "base": set(),
}

# Public header: the layer whose face it is.
PUBLIC = {
    "compression": "base", "error": "base", "executor": "base", "log": "base", "params": "base", "version": "base",
    "memory": "memory", "operator": "operators", "spec": "spec", "plan": "plan",
    "runtime": "runtime", "graph": "calls", "runner": "calls", "jobs": "calls", "penstock": "cli",
}

# Layers seen through their public header alone: (from, to): the private headers that are allowed all the same.
INTERFACE_ONLY = {
    ("plan", "operators"): set(),
    ("runtime", "operators"): set(),
    ("launch", "operators"): set(),
    ("calls", "operators"): set(),
}

# Third-party header: the files under src/ that may see it. What the patterns do not name may not.
CONFINED = {
    "mpi.h": ["transports/mpi/*", "launch/*", "operators/hdf5/stage_group.hpp"],
    "pmix": ["launch/pmix_world.cpp"],
    "ucp/": ["transports/ucx/*"],
    "ucs/": ["transports/ucx/*"],
    "uct/": ["transports/ucx/*"],
    "rdma/": ["transports/ofi/*"],
    "hdf5.h": ["operators/hdf5/*", "operators/telemetry/hdf5_*"],
    "H5": ["operators/hdf5/*", "operators/telemetry/hdf5_*"],
    "nlohmann/": ["spec/*", "http/*.cpp", "plan/*.cpp", "cli/*", "launch/*.cpp", "runtime/*.cpp", "report/*",
                  "base/log.cpp", "operators/hdf5/*.cpp"],
    "Kokkos": ["kernels/*.cpp", "kernels/parallel.hpp"],
    "cuda": ["kernels/*", "memory/cuda*"],
    "httplib": ["http/*.cpp"],
    "lz4": ["codec/lz4.cpp"],
    "zstd": ["codec/zstd.cpp"],
    "zlib.h": ["codec/zlib.cpp"],
    "hwloc": ["base/machine.cpp"],
    "spdlog/": ["base/log.cpp"],
    "CLI/": ["cli/*"],
    "fmt/": ["*.cpp"],
    "gtest/": [],
    "gmock/": [],
    "benchmark/": [],
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]')


def layer_of(here):
    """The layer a file belongs to, or None."""
    if here.parts[:2] == ("include", "penstock"):
        return PUBLIC.get(here.stem)
    return here.parts[1] if len(here.parts) > 2 else None


def target_of(name):
    """The layer an include names, or None if it is not ours."""
    first, _, rest = name.partition("/")
    if first == "penstock":
        return PUBLIC.get(pathlib.PurePath(rest).stem, "no layer")
    return first if rest and first in MAY_INCLUDE else None  # <memory> is the standard library


def layer_problem(here, layer, name):
    target = target_of(name)
    if target is None or target == layer:
        return None
    if target not in MAY_INCLUDE[layer]:
        return f"{layer} must not include {target} ({name})"
    allowed = INTERFACE_ONLY.get((layer, target))
    if allowed is not None and not name.startswith("penstock/") and name not in allowed:
        return f"{layer} sees {target} through its public header only ({name})"
    return None


def backend_problem(here, name):
    """A transport does not know its neighbours; make.cpp is the only place that knows them all."""
    parts = name.split("/")
    if parts[0] != "transports" or len(parts) < 3:
        return None
    if here.as_posix() == "src/transports/make.cpp" or here.parts[1:3] == ("transports", parts[1]):
        return None
    return f"only src/transports/make.cpp may include a transport ({name})"


def third_party_problem(here, name):
    for prefix, homes in CONFINED.items():
        if not name.startswith(prefix):
            continue
        inside = here.as_posix().removeprefix("src/")
        if here.parts[0] != "src" or not any(fnmatch.fnmatch(inside, home) for home in homes):
            return f"<{name}> belongs in {', '.join(homes) or 'tests or benchmarks'} only"
    return None


def form_problem(root, here, quote, name):
    if quote == '"':
        if here.parts[0] == "include":
            return f'a public header includes the standard library and <penstock/...> only ("{name}")'
        if not (root / "src" / name).is_file():
            return f'"{name}" is no file under src/; private includes are written relative to src/'
    elif here.parts[0] == "include" and not name.startswith("penstock/") and not re.fullmatch(r"[a-z0-9_]+", name):
        return f"a public header includes the standard library and <penstock/...> only (<{name}>)"
    return None


def file_problems(root, here):
    """Yields (line, text)."""
    layer = layer_of(here)
    if layer not in MAY_INCLUDE:
        yield 1, "belongs to no layer"
        return
    lines = (root / here).read_text(encoding="utf-8").splitlines()
    if here.suffix == ".hpp" and "#pragma once" not in lines:
        yield 1, "has no #pragma once"
    for number, line in enumerate(lines, 1):
        if not (match := INCLUDE.match(line)):
            continue
        quote, name = match.groups()
        for problem in (layer_problem(here, layer, name), backend_problem(here, name),
                        third_party_problem(here, name), form_problem(root, here, quote, name)):
            if problem:
                yield number, problem


def problems(root):
    """Every broken rule under a repository root, as "file:line: text"."""
    files = (path for folder in ("include", "src") for path in (root / folder).rglob("*.[ch]pp"))
    return [f"{path.relative_to(root)}:{line}: {text}"
            for path in sorted(files) for line, text in file_problems(root, path.relative_to(root))]


def main():
    found = problems(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
    print("\n".join(found) or "layers: ok")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
