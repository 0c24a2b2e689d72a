"""Our failures in the form that JupyterHub shows to users."""

from __future__ import annotations

from typing import Any

from tornado import web

from multiplespawner_core.resources.failures import StartFailed

try:
    from jupyterhub.spawner import SpawnException
except ImportError:  # JupyterHub 5
    SpawnException = None


def for_jupyterhub(failure: StartFailed) -> web.HTTPError:
    """An exception whose every text is fit for the user.

    JupyterHub 6 does not count a SpawnException against ``consecutive_failure_limit``. Its
    progress stream shows the log message unless ``jupyterhub_message`` is set
    (``jupyterhub/utils.py``, ``get_exception_message``), so both are the same.
    """
    if SpawnException is not None:
        error: Any = SpawnException(
            failure.message, reason=failure.reason, status_code=failure.status
        )
    else:
        error = web.HTTPError(failure.status, "%s", failure.message, reason=failure.reason)
    error.jupyterhub_message = failure.message
    assert isinstance(error, web.HTTPError)  # noqa: S101 - so are both kinds
    return error


def uncounted(handler: Any) -> None:
    """Keep a refusal from counting against ``consecutive_failure_limit``.

    JupyterHub 6 counts no error below 500. JupyterHub 5 counts every start that fails, when it
    has failed (``handlers/base.py``, _track_failure_count): one is taken off before.

    Args:
        handler: of the request for the start; None where nobody asked by one.
    """
    if SpawnException is None and handler is not None:
        settings = handler.settings
        settings["failure_count"] = settings.get("failure_count", 0) - 1


__all__ = ("for_jupyterhub", "uncounted")
