"""A plugin of pytest that applies the mutant named in the environment to a whole run."""

from __future__ import annotations

import os

from mutations.mutants import MUTANTS

VARIABLE = "MUTANT"


def pytest_configure(config):
    applied = MUTANTS[os.environ[VARIABLE]].applied()
    applied.__enter__()
    config.add_cleanup(lambda: applied.__exit__(None, None, None))


__all__ = ("VARIABLE", "pytest_configure")
