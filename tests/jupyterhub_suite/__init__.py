"""JupyterHub's own tests with MultipleSpawner around its mock spawners.

`run.py` runs them in a process of their own, with `plugin.py`; `make jupyterhub-suite` and
`make test-matrix` call it.
"""
