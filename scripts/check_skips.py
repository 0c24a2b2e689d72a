#!/usr/bin/env python3
"""Sum up JUnit reports and refuse skipped tests: check_skips.py FOLDER [NAME...].

Every NAME must have a report (NAME.xml). A skip is accepted only if its message matches an entry
of ALLOWED, so that a test cannot quietly stop running. Expected failures count as skips.
"""

# ruff: noqa: T201 - a command that reports
from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

# Pattern of the skip's message -> why no machine of ours can run that test.
ALLOWED: dict[str, str] = {}


def main(folder: Path, required: list[str]) -> int:
    passed = failed = skipped = 0
    complaints = [
        f"no report: {name}" for name in required if not (folder / f"{name}.xml").is_file()
    ]
    for report in sorted(folder.glob("*.xml")):
        for case in ET.parse(report).iter("testcase"):  # noqa: S314 - written by our own pytest
            name = f"{report.stem}: {case.get('classname')}::{case.get('name')}"
            skip = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
                print(f"failed   {name}")
            elif skip is not None:
                skipped += 1
                message = skip.get("message") or ""
                print(f"skipped  {name}: {message}")
                if not any(re.search(pattern, message) for pattern in ALLOWED):
                    complaints.append(f"skip not in the list of accepted ones: {name}: {message}")
            else:
                passed += 1
    for complaint in complaints:
        print(f"ERROR: {complaint}")
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if complaints or failed or not passed else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:  # noqa: PLR2004 - at least one argument
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
