"""The settings of the hub's part."""

from __future__ import annotations

import pytest

from multiplespawner_core.spawner.settings import Settings, site_limits


def test_the_sites_limits():
    limits = site_limits(Settings(limits={"cpu": {"max": 4}, "gpu": None}))
    assert limits.cpu.maximum == 4
    assert limits.gpu is None
    assert site_limits(Settings()).cpu.maximum is None


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"cpus": {}}, "c.MultipleSpawner.limits.cpus: unknown key (did you mean 'cpu'?)"),
        ({"cpu": {"mx": 1}}, "c.MultipleSpawner.limits.cpu.mx: unknown key (did you mean 'max'?)"),
        ({"cpu": 4}, "c.MultipleSpawner.limits.cpu: must be a mapping, but is 4"),
        (
            {"cpu": {"min": 2, "max": 1}, "gpu": {"max": True}},
            (
                "c.MultipleSpawner.limits.cpu: cpu.min 2 is above cpu.max 1;"
                " c.MultipleSpawner.limits.gpu.max: must be a number, but is true"
            ),
        ),
    ],
)
def test_limits_that_make_no_sense_are_all_named_with_their_place(limits, message):
    with pytest.raises(ValueError, match="limits") as refused:
        site_limits(Settings(limits=limits))
    assert str(refused.value) == message
