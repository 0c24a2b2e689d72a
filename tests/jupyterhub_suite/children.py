"""The mock spawners under the names by which templates know them."""

from __future__ import annotations

from .wrapping import MOCKS, as_child

globals().update({name: as_child(mock, __name__) for name, mock in MOCKS.items()})
