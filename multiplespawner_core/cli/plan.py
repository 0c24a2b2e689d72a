"""Say what a start of a server would do, and do nothing of it.

Exit status 1 if the start would be refused, with what the user would be told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from multiplespawner_core.catalogue.findings import without_secrets
from multiplespawner_core.catalogue.placeholders import PLACEHOLDERS, of_owner, render
from multiplespawner_core.cli import hub_config, survey
from multiplespawner_core.cli.output import aside, fitting
from multiplespawner_core.cli.survey import Survey
from multiplespawner_core.contracts import Offer, Owner
from multiplespawner_core.planning.candidates import available
from multiplespawner_core.planning.current import findings
from multiplespawner_core.planning.plan import Budget
from multiplespawner_core.planning.site import Option
from multiplespawner_core.resources.failures import for_user
from multiplespawner_core.resources.pipeline import PLAN_TIMEOUT
from multiplespawner_core.resources.record import Phase
from multiplespawner_core.resources.timing import bounded
from multiplespawner_core.selection.request import Choice, InvalidOptions, User
from multiplespawner_core.spawner.settings import section


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--user", required=True, metavar="NAME", help="who would start it")
    parser.add_argument(
        "--group",
        action="append",
        default=[],
        metavar="NAME",
        help="a group that the user is in; may be given again (JupyterHub is not asked)",
    )
    parser.add_argument(
        "--server", default="", metavar="NAME", help="name of the server (default: the default one)"
    )
    parser.add_argument(
        "--options",
        type=_json,
        default={},
        metavar="JSON",
        help="the user options, as the REST API takes them (default: {})",
    )
    survey.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON instead of YAML")


def run(chosen: argparse.Namespace) -> int:
    """Print the plan."""
    with aside():
        assembly = hub_config.load(chosen.config).assembly()
        state_dir = Path(assembly.settings.state_dir).expanduser().absolute()
        with survey.surveyed(chosen, assembly, state_dir) as seen:
            plan = asyncio.run(_planned(chosen, seen))
            errors = [one for one in findings(seen.catalogue, seen.site) if one.severity == "error"]
    if errors:
        print("some of the configuration is not in use: multiplespawner validate", file=sys.stderr)
    plan = json.loads(json.dumps(plan, default=repr))
    refused = plan.get("refused")
    if chosen.json:
        print(fitting(lambda any_letter: json.dumps(plan, indent=2, ensure_ascii=not any_letter)))
    else:
        shown = {key: value for key, value in plan.items() if key != "refused"}
        text = fitting(lambda any_letter: _yaml(shown, any_letter=any_letter))
        print(text, end="", flush=True)
        if refused:
            print(f"refused: {refused}", file=sys.stderr)
    return 1 if refused else 0


def _yaml(value: Any, *, any_letter: bool) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=any_letter)
    return text


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{text!r} is no JSON: {error}"
        raise argparse.ArgumentTypeError(msg) from None


async def _planned(chosen: argparse.Namespace, seen: Survey) -> dict[str, Any]:
    owner = Owner(chosen.user, chosen.server)
    plan: dict[str, Any] = {"user": owner.user, "groups": chosen.group, "server": owner.server}
    user = User(owner.user, frozenset(chosen.group))
    try:
        request, choice = seen.site.select(chosen.options, user)
    except InvalidOptions as error:
        return {**plan, "refused": f"{error}."}
    option = seen.site.option(choice)
    plan |= {
        "request": request.model_dump(),
        "template": choice.template,
        "storage": choice.storage.value,
        "lifetime": "no end" if request.lifetime is None else f"{request.lifetime} minutes",
        "provider": {
            "name": option.provider.component,
            "class": _path(type(option.provider)),
        },
        **_parts(option, owner),
        **_times(choice, seen),
    }
    try:
        specification = seen.site.specification(request, choice, owner)
        plan["provider"]["attributes"] = without_secrets(specification.attributes)
        offers = await bounded(seen.site.offers(choice, specification), PLAN_TIMEOUT)
        plan["offers"] = [_offer(offer) for offer in offers]
        plan["offers"][offers.index(available(offers))]["chosen"] = True
    except Exception as error:  # noqa: BLE001 - users are told of any error in the same way
        plan["refused"] = for_user(error, Phase.CREATING, None).message
    finally:
        await seen.pool.shutdown()
    return plan


def _parts(option: Option, owner: Owner) -> dict[str, Any]:
    """The components that would be at work, with what is known of their arguments."""
    resolved = option.resolved
    parts: dict[str, Any] = {
        "child": {
            "class": _path(option.child_class),
            "kwargs": _rendered(option.child_kwargs, owner),
        }
    }
    for key in ("authenticator", "configurer"):
        cls = getattr(resolved, key)
        if cls is not None:
            kwargs = _rendered(getattr(resolved, f"{key}_kwargs"), owner)
            parts[key] = {"class": _path(cls), "kwargs": kwargs}
    if resolved.template.hub_connect_url:
        parts["hub_connect_url"] = without_secrets(resolved.template.hub_connect_url)
    return parts


def _times(choice: Choice, seen: Survey) -> dict[str, Any]:
    """How long everything may take, in seconds."""
    budget: Budget = seen.site.budget(choice)
    given = section(seen.assembly.config)
    return {
        "phases": asdict(budget),
        "start_timeout": given.get("start_timeout", budget.start_timeout),
        "http_timeout": given.get("http_timeout", seen.site.http_timeout(choice)),
    }


def _offer(offer: Offer) -> dict[str, Any]:
    return {
        "shape": offer.shape,
        "scope": offer.scope.key,
        "cpu": offer.cpu,
        "memory": offer.memory,
        "gpu": offer.gpu,
        "price": offer.price,
        "availability": offer.availability.value,
        "reason": offer.reason,
        "chosen": False,
    }


def _rendered(kwargs: Mapping[str, Any], owner: Owner) -> Any:
    """With the placeholders that are known before there is a resource; the others stay."""
    later = {name: f"{{{name}}}" for name in PLACEHOLDERS}
    return without_secrets(render(dict(kwargs), {**later, **of_owner(owner)}))


def _path(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


__all__ = ("add_arguments", "run")
