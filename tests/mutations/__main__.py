"""Searches for every mutant and writes down which schedules find it: ``python -m mutations``.

``MUTATION_SCHEDULES`` says through how many schedules each is run at the most.
"""

from __future__ import annotations

import json
import os
import re
import sys

from mutations.search import FOUND, PAGE, TABLE, search, table


def main():
    found, missed = search(int(os.environ.get("MUTATION_SCHEDULES", "300")))
    if missed:
        sys.stdout.write(f"nothing finds {', '.join(missed)}\n")
        return 1
    FOUND.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(re.sub(TABLE, lambda _: table(found), PAGE.read_text()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
