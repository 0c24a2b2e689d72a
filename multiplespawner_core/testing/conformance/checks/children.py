"""What is between a provider and the child spawner that runs on its resource."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from multiplespawner_core.contracts import Provider, ResourceState
from multiplespawner_core.testing.conformance import standalone
from multiplespawner_core.testing.conformance.bench import Bench
from multiplespawner_core.testing.conformance.rules import LeftOut, check
from multiplespawner_core.testing.conformance.subject import Subject


class Children(Subject):
    @check("Provider.child_class", "It answers with the class, or with a subclass of it.")
    async def test_child_class_is_a_subclass(self, bench: Bench) -> None:
        provider, base = await bench.provider(), self._child()
        made = provider.child_class(base)
        bench.require(isinstance(made, type) and issubclass(made, base), f"{base} became {made}")

    @check(
        "Provider.child_traits",
        "What the child is given are traits of its class, with values that they take.",
    )
    async def test_child_traits_are_traits(self, bench: Bench) -> None:
        provider = await bench.provider()
        if self.child is None and type(provider).child_traits is Provider.child_traits:
            raise LeftOut("child_traits is not overridden: nothing is given to any child")
        base = self._child()
        intent, handle = await bench.make(provider)
        given = bench.expect(provider.child_traits(intent, handle), Mapping, "child_traits")
        made = provider.child_class(base)
        unknown = sorted({*given} - {*made.class_trait_names()})
        bench.require(not unknown, f"{made.__name__} has no trait {', '.join(unknown)}")
        child = standalone.built(base, provider, given, bench.folder, self.child_kwargs)
        for name, value in given.items():
            # Dictionaries may be completed by the class.
            if not isinstance(value, Mapping):
                has = getattr(child, name)
                bench.require(
                    has == value, f"{name}={value!r} was given, and the child has {has!r}"
                )

    @check(
        "Provider.describe",
        "Where the child makes what runs, it is not GONE while the child runs.",
    )
    async def test_what_the_child_made_is_seen(self, bench: Bench) -> None:
        provider = await bench.provider()
        if not bench.by_child(provider):
            raise LeftOut("made_by is provider: test_describe_until_ready takes its place")
        _, handle = await bench.run(provider)
        look = partial(bench.state, provider, handle)
        state = await bench.eventually(look, lambda seen: seen is ResourceState.READY)
        bench.require(state is ResourceState.READY, f"the child runs, and it is {state.value}")

    def _child(self) -> type:
        if self.child is None:
            raise LeftOut("no child spawner is named: child = ...")
        return self.child


__all__ = ("Children",)
