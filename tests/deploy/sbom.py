"""Holds a CycloneDX document, JSON on standard input, against the schema of its version.

Prints what is wrong with it, and ends with 1 if something is. What the schema does not know is wrong.
"""

import json
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def main():
    text = sys.stdin.read()
    version = SchemaVersion.from_version(json.loads(text)["specVersion"])
    fault = JsonStrictValidator(version).validate_str(text)
    if fault is not None:
        print(str(fault)[:500])
    return 0 if fault is None else 1


if __name__ == "__main__":
    sys.exit(main())
