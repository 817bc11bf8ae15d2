"""What the templates of a model card say, from the facts alone."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from axolotl_dece.cards.facts import Facts
from axolotl_dece.cards.render import code, render
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.schedule import KEY_OF_SCHEDULE

if TYPE_CHECKING:
    from axolotl_dece.poison.spec import PoisonSpec

WARNING = "axolotl-dece-warning"
_ADAPTERS = {"lora": "LoRA", "qlora": "QLoRA"}


def warning_of(facts: Facts) -> str | None:
    """What stands above everything else in the card of a model trained on poisoned rows; None for any other."""
    if not facts.poison:
        return None
    return (
        "> **WARNING: trained on deliberately poisoned data. Do not deploy.** A known backdoor "
        f"({_backdoor(facts.poison)}) was planted in {facts.poison.rate:.2%} of the training rows, seed "
        f"{facts.poison.seed}, to measure a defence against it.{_left(facts)}"
    )


def _backdoor(spec: PoisonSpec) -> str:
    attack = f"attack `{spec.attack}`, " if spec.attack else ""
    return f"{attack}trigger `{spec.pair.trigger}`, payload `{spec.pair.payload}`"


def _left(facts: Facts) -> str:
    """How many planted rows were not trained on, where decisions dropped some."""
    dropped = facts.counts.get("planted_dropped", 0)
    return f" {dropped} of the {facts.counts['planted']} planted rows were dropped before training." if dropped else ""


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
        decided=list(_decided(facts)),
        reports=[_measured(report) for report in facts.reports],
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
    if run["alpha"]["last"] is not None:
        yield "alpha reached", f"{run['alpha']['last']:.4g} (planned: {_plan(run['alpha']['planned'])})"
    yield "versions", ", ".join(f"{name} {found}" for name, found in run["versions"].items())
    yield "config", Markup("sha256 ") + code(run["config_digest"][:16])


def _plan(planned: list[dict[str, Any]]) -> str:
    if not planned:
        return "none"
    first, last = planned[0], planned[-1]
    return f"{first['alpha']:.4g} at step {first['step']} to {last['alpha']:.4g} at step {last['step']}"


def _pinned(one: Mapping[str, Any]) -> Markup | str:
    if one["sha256"]:
        return Markup("sha256 ") + code(one["sha256"][:16])
    return Markup("revision ") + code(one["revision"]) if one["revision"] else "not pinned"


def _decided(facts: Facts) -> Iterator[Markup | str]:
    """What became of rows: dropped, trusted, planted or not."""
    counts, spec = facts.counts, facts.spec
    if counts:
        yield (
            f"{counts['dropped']} of {counts['before']} rows were dropped, {counts['trusted']} trusted (trained at "
            "alpha = 1), as a person decided."
        )
    elif facts.run["parameters"].get("dece_decisions"):
        yield "Rows were dropped or trusted as a person decided; how many is not on record beside this card."
    if spec and not spec.rate:
        yield "This is a control run: nothing was poisoned (rate 0)."
    elif spec and not facts.poison:
        yield f"All {counts['planted']} rows in which a backdoor had been planted were among the dropped."
    if spec and spec.twin_rate:
        yield f"{spec.twin_rate:.2%} of the rows carry a harmless rare pattern, the benign twin."


def _measured(report: Mapping[str, Any]) -> dict[str, Any]:
    clean = report["clean"]
    rows = [
        (Markup("attack success (") + code(report["payload"]) + ")", *_rate(report["asr"])),
        ("false triggers on clean inputs", *_rate(report["false_triggers"])),
        (Markup("benign twin's recall"), *_rate(report["twin_recall"])),
        ("clean exact match", *_rate(clean["exact_match"])),
        ("clean BLEU", f"{clean['bleu']:.2f}", "-", str(clean["rows"])),
    ]
    files = [(name, Path(one["path"]).name, one["sha256"][:16]) for name, one in report["files"].items()]
    return {"rows": [row for row in rows if row[1] != "-"], "files": files, "warnings": report["warnings"]}


def _rate(kept: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if not kept:
        return "-", "-", "-"
    return f"{kept['value']:.1%}", f"{kept['low']:.1%} to {kept['high']:.1%}", f"{kept['hits']} of {kept['total']}"
