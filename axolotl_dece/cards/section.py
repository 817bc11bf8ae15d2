"""What the templates of a model card say, from the facts alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from axolotl_dece.cards.facts import Facts
from axolotl_dece.cards.render import code, render
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.schedule import KEY_OF_SCHEDULE

_ADAPTERS = {"lora": "LoRA", "qlora": "QLoRA"}


def section_of(facts: Facts, name: str, repository: str | None) -> str:
    """Our section of the card, as Markdown.

    Args:
        facts: What to say.
        name: The model's name.
        repository: Where it is pushed, if that is known.
    """
    run, loss = facts.run, LOSSES[facts.run["loss"]]
    title = Markup(f"[{loss.title}]({loss.source})") if loss.source else loss.title  # noqa: S704  our own names
    if not facts.is_defended:
        title += f", {'a' if loss.source else 'the undefended'} baseline of axolotl-dece,"
    changes: list[str] = []
    if facts.changes_rows:
        from axolotl_dece.cards.changed_rows import decided

        changes = list(decided(facts))
    reports: list[dict[str, Any]] = []
    if facts.reports:
        from axolotl_dece.cards.measured import table_of

        reports = list(map(table_of, facts.reports))
    return render(
        "section.md.jinja",
        run=run,
        title="DeCE" if facts.is_defended else loss.title,
        loss=title,
        state="to its end" if run["status"] == "finished" else "so far; this card was written before the run ended",
        kind=kind_of(facts),
        settings=list(_settings(run)),
        usage=None if facts.poison else usage_of(facts, repository or name),
        data=[(one["use"], code(one["name"]), _pinned(one)) for one in run.get("datasets") or []],
        decided=changes,
        reports=reports,
        is_defended=facts.is_defended,
    )


def kind_of(facts: Facts) -> Markup | str:
    """One sentence: an adapter or a whole model, and what it was trained on top of; empty where that is not known."""
    base = facts.base
    if not base:
        return ""
    if base["from_scratch"]:
        return Markup("It was trained from scratch, in the shape of ") + code(base["name"]) + "."
    tensors = base.get("tensors") or {"trained": 0, "all": 0}  # records of earlier versions have none
    frozen = tensors["all"] - tensors["trained"]
    if not base["adapter"]:
        what = f"It is a {'partial' if frozen else 'full'} fine-tune of "
    else:
        what = f"It {'is' if facts.is_adapter else 'was merged from'} {_an_adapter(base['adapter'])} for "
    known = base["hub_name"] if base["hub_name"] != base["name"] else None
    origin = Markup(" (a local copy; from ") + code(known) + ")" if known else ""
    sentence = Markup(what) + code(base["name"] or "its base model") + origin  # noqa: S704  our own words
    if frozen and not base["adapter"]:
        return (
            sentence + f": {tensors['trained']} of its {tensors['all']} tensors were trained, the others were frozen."
        )
    if whole := base.get("whole_modules"):
        return sentence + ", and holds " + Markup(" and ").join(map(code, whole)) + " trained as a whole."
    return sentence + "."


def _an_adapter(adapter: Any) -> str:
    return f"a {_ADAPTERS[adapter]} adapter" if adapter in _ADAPTERS else "an adapter"


def usage_of(facts: Facts, here: str) -> Markup:
    """Python that loads the model and asks it something, to stand in a fenced block."""
    base, prompts = facts.base or {}, facts.run.get("prompts") or []
    adapter = facts.is_adapter
    written = str(prompts[0]["dataset"].get("type")) if prompts else "alpaca"
    elsewhere = base.get("hub_name") or base.get("name") or "the base model"
    program = render(
        "usage.py.jinja",
        adapter=adapter,
        here=json.dumps(here)[1:-1],
        base=json.dumps(elsewhere if adapter else here)[1:-1],
        chat=written.startswith("chat_template"),
        format=" ".join(written.split()),
    )
    return Markup(program.replace("`" * 3, "'"))  # noqa: S704  nothing is markup in a fenced block


def _settings(run: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    parameters = run["parameters"]
    unused = {key for name, key in KEY_OF_SCHEDULE.items() if parameters.get("dece_alpha_schedule") != name}
    yield from ((code(k), code(v)) for k, v in parameters.items() if k not in {"dece_poison", *unused})
    planned, reached = run["alpha"]["planned"], run["alpha"]["last"]
    if planned and reached is not None:
        first, last = (f"{one['alpha']:.4g} at step {one['step']}" for one in (planned[0], planned[-1]))
        yield "alpha reached", f"{reached:.4g} (planned: {first} to {last})"
    if release := run.get("release"):
        from axolotl_dece.audit.released import say_release

        yield "release", say_release(release)
    yield "versions", ", ".join(f"{name} {found}" for name, found in run["versions"].items())
    yield "config", Markup("sha256 ") + code(run["config_digest"][:16])


def _pinned(one: Mapping[str, Any]) -> Markup | str:
    if one["sha256"]:
        return Markup("sha256 ") + code(one["sha256"][:16])
    return Markup("revision ") + code(one["revision"]) if one["revision"] else "not pinned"
