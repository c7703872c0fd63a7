#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""policy.schema.json and the parser agree on every fixture, judged by an independent validator.

Arguments: postcopyctl, the policies folder, the fixtures folder.
"""
import json
import pathlib
import subprocess
import sys

try:
    import jsonschema
except ImportError:
    print("SKIP: python3-jsonschema is not installed")
    sys.exit(77)

# folder: does the schema take it, does the parser
EXPECTED = {
    "valid": (True, True),
    "invalid": (False, False),
    "invalid-parser-only": (True, False),
}


def parser_takes(postcopyctl, path):
    run = subprocess.run([postcopyctl, "policy", "check", str(path)], timeout=10,
                         capture_output=True, text=True)
    if run.returncode not in (0, 2):
        sys.exit(f"{path}: exit status {run.returncode}, expected 0 or 2")
    if run.returncode == 2 and not run.stderr.startswith(f"{path}:"):
        sys.exit(f"{path}: the message does not begin with the file: {run.stderr}")
    return run.returncode == 0


def main():
    postcopyctl, policies, fixtures = sys.argv[1], *map(pathlib.Path, sys.argv[2:4])
    schema = json.loads((policies / "policy.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    files = [(path, (True, True)) for path in sorted(policies.glob("*.json"))
             if not path.name.endswith(".schema.json")]
    for folder, expected in EXPECTED.items():
        files += [(path, expected) for path in sorted((fixtures / folder).glob("*.json"))]
    wrong = 0
    for path, expected in files:
        got = (validator.is_valid(json.loads(path.read_text())), parser_takes(postcopyctl, path))
        if got != expected:
            wrong += 1
            print(f"{path}: (schema takes it, parser takes it) = {got}, expected {expected}")
    print(f"{len(files)} policies, {wrong} wrong")
    return 1 if wrong or len(files) < 80 else 0


if __name__ == "__main__":
    sys.exit(main())
