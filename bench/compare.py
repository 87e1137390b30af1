#!/usr/bin/env python3
"""Sets two files of benchmark rows side by side: compare.py BEFORE.json AFTER.json [--fail-below 0.7]."""
import argparse
import json
import statistics
import sys

COUNTS = ("msg/s", "tickets/s", "tasks/s")


def is_lower_better(unit):
    """True for times and costs. The same rule as in limits/measure.cpp."""
    return unit.split(" ")[0].split("/")[0] in ("ns", "us", "ms", "s", "cpu")


def format_size(size):
    if not size:
        return "-"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size % 1024 or unit == "GiB":
            return f"{size} {unit}"
        size //= 1024


def format_value(value, unit):
    if value is None:
        return "-"
    if unit in COUNTS and value >= 1e6:
        return f"{value / 1e6:.4g} M {unit}"
    if unit in COUNTS and value >= 1e4:
        return f"{value / 1e3:.4g} k {unit}"
    return f"{value:.4g} {unit}"


def print_table(rows, left=2):
    """The first row is the heading; the first `left` columns are aligned to the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [text.ljust(width) if i < left else text.rjust(width) for i, (text, width) in enumerate(zip(row, widths))]
        print("  ".join(cells).rstrip())


def load(path):
    """Rows by what was measured; a row that occurs several times counts with its median."""
    with open(path, encoding="utf-8") as file:
        rows = json.load(file)
    values = {}
    for row in rows:
        if row.get("value") is not None:
            key = (row["bench"], row["case"], row.get("size_bytes") or 0, row["unit"])
            values.setdefault(key, []).append(row["value"])
    return {key: statistics.median(found) for key, found in values.items()}


def main():
    parser = argparse.ArgumentParser(description="Compares two files written with --json.")
    parser.add_argument("before")
    parser.add_argument("after")
    parser.add_argument("--fail-below", type=float, metavar="RATIO", help="exit with 1 if a ratio is smaller than this")
    arguments = parser.parse_args()
    try:
        before, after = load(arguments.before), load(arguments.after)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2

    table = [["bench", "case", "size", arguments.before, arguments.after, "ratio"]]
    worse = []
    for key in list(before) + [key for key in after if key not in before]:
        bench, case, size, unit = key
        old, new = before.get(key), after.get(key)
        ratio = None
        if old and new:
            ratio = old / new if is_lower_better(unit) else new / old
            if arguments.fail_below is not None and ratio < arguments.fail_below:
                worse.append(key)
        table.append([bench, case, format_size(size), format_value(old, unit), format_value(new, unit),
                      "-" if ratio is None else f"{ratio:.3f}"])
    print_table(table)
    print("\nratio: above 1 the second file is better, whether more or less is better in that unit")
    if worse:
        print(f"{len(worse)} of {len(table) - 1} below {arguments.fail_below}:", file=sys.stderr)
        for bench, case, size, unit in worse:
            print(f"  {bench} {case} {format_size(size)} {unit}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
