"""Every benchmark, in the order in which they run."""

from __future__ import annotations

from benchmarks import burst, form, imports, starts

BENCHMARKS = (imports.BENCHMARK, form.BENCHMARK, starts.BENCHMARK, burst.BENCHMARK)

__all__ = ("BENCHMARKS",)
