"""Rows of results, as the C++ benchmarks print and write them (limits/measure.hpp)."""
import json

from compare import format_size, format_value, is_lower_better, print_table


def row(bench, case, size_bytes, value, unit, limit=None):
    ratio = None
    if limit:
        ratio = limit / value if is_lower_better(unit) else value / limit
    return {"bench": bench, "case": case, "size_bytes": size_bytes, "value": value, "unit": unit, "limit": limit, "ratio": ratio}


def finish(rows, json_file=None):
    """Prints the table and writes the file."""
    table = [("bench", "case", "size", "value", "limit", "ratio")]
    for r in rows:
        ratio = f"{r['ratio']:.3f}" if r["ratio"] is not None else "-"
        table.append((r["bench"], r["case"], format_size(r["size_bytes"]), format_value(r["value"], r["unit"]),
                      format_value(r["limit"], r["unit"]), ratio))
    print_table(table)
    if json_file:
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)
            file.write("\n")
