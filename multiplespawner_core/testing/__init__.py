"""For authors of plugins: a small cloud that misbehaves on demand, and machines in it.

Nothing else of the core imports this package. Its HTTP client, its server and its machines need
``pip install "multiplespawner-core[testing]"``; the model of the cloud needs nothing.
"""
