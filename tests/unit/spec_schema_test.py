"""Holds jobs/pipeline.schema.json against the files that the loader accepts and refuses.

Usage: spec_schema_test.py REPOSITORY. The loader is held against the same files by spec_file_test.cpp.
"""

import json
import pathlib
import sys

try:
    import jsonschema
except ImportError:
    print("skipped: python3-jsonschema is not installed")
    sys.exit(77)


def accepts(validator, path):
    """Whether the file is JSON that the schema allows; a key that stands twice is no JSON here."""

    def unique(pairs):
        if len({key for key, _ in pairs}) != len(pairs):
            raise ValueError("duplicate key")
        return dict(pairs)

    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
    except ValueError:
        return False
    return validator.is_valid(document)


def main():
    root = pathlib.Path(sys.argv[1])
    schema_path = root / "jobs" / "pipeline.schema.json"
    schema = json.loads(schema_path.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)

    cases = root / "tests" / "unit" / "pipelines"
    good = [path for path in (root / "jobs").glob("*.json") if path != schema_path] + list((cases / "good").glob("*.json"))
    bad = list((cases / "bad").glob("*.json"))
    wrong = [f"{path}: refused by the schema" for path in good if not accepts(validator, path)]
    wrong += [f"{path}: accepted by the schema" for path in bad if accepts(validator, path)]
    if len(good) < 5 or len(bad) < 30:
        wrong.append(f"only {len(good)} good and {len(bad)} bad files found")
    print("\n".join(wrong) or f"{len(good)} good and {len(bad)} bad files: schema and loader agree")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
