"""The life of a resource: ledger, pipeline, release, deadlines and the manager that owns them."""
