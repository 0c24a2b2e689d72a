"""JupyterHub's side: the Spawner that the hub sees, and the child that really starts servers."""
