"""The benchmarks that need hubs can be run, and leave nothing behind; their figures are nothing."""

from __future__ import annotations

import pytest

from benchmarks import burst, flight, form, live, restart, starts
from benchmarks.crowds import CROWDS
from benchmarks.hubs import BARE, OURS

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]

SUBJECTS = (BARE, OURS)


@pytest.mark.parametrize(
    ("measure", "subjects", "parameters"),
    [
        (starts.measure, SUBJECTS, {}),
        (burst.measure, SUBJECTS, {"servers": 2}),
        (form.measure, SUBJECTS, {"sizes": [3]}),
        (flight.measure, CROWDS, {"servers": 2, "every": 0.1}),
        (live.measure, CROWDS, {"servers": 2, "interval": 1}),
        (restart.measure, CROWDS, {"servers": 2}),
    ],
    ids=["starts", "burst", "form", "flight", "live", "restart"],
)
def test_every_quantity_is_measured(measure, subjects, parameters):
    quantities = measure(1, subjects, **parameters)
    assert quantities
    for quantity in quantities:
        assert OURS in quantity.samples
        assert all(len(samples) == 1 for samples in quantity.samples.values()), quantity.name
        assert all(sample >= 0 for (sample,) in quantity.samples.values()), quantity.name
