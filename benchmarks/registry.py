"""Every benchmark, in the order in which they run."""

from __future__ import annotations

from benchmarks import burst, flight, form, imports, live, restart, starts

BENCHMARKS = (
    imports.BENCHMARK,
    form.BENCHMARK,
    starts.BENCHMARK,
    burst.BENCHMARK,
    flight.BENCHMARK,
    restart.BENCHMARK,
    live.BENCHMARK,
)

__all__ = ("BENCHMARKS",)
