"""The benchmarks that need hubs can be run, and leave nothing behind; their figures are nothing."""

from __future__ import annotations

import pytest

from benchmarks import burst, form, starts
from benchmarks.hubs import BARE, OURS

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]

SUBJECTS = (BARE, OURS)


@pytest.mark.parametrize(
    ("measure", "parameters"),
    [(starts.measure, {}), (burst.measure, {"servers": 2}), (form.measure, {"sizes": [3]})],
    ids=["starts", "burst", "form"],
)
def test_every_quantity_is_measured(measure, parameters):
    quantities = measure(1, SUBJECTS, **parameters)
    assert quantities
    for quantity in quantities:
        assert OURS in quantity.samples
        assert all(len(samples) == 1 for samples in quantity.samples.values()), quantity.name
        assert all(sample >= 0 for (sample,) in quantity.samples.values()), quantity.name
