"""What multiplespawner costs, always beside a peer in the same run: ``python -m benchmarks``.

A module for each benchmark, listed in `registry`; each gives quantities (`figures`), which
`runner` prints and writes down.
"""
