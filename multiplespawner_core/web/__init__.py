"""What the hub answers to browsers and programs beyond JupyterHub's own pages and API."""
