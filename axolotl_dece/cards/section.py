"""The words of the DeCE section, from the facts alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from axolotl_dece.cards.facts import Facts
from axolotl_dece.cards.markdown import table
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.poison.spec import PoisonSpec
from axolotl_dece.schedule import KEY_OF_SCHEDULE

WARNING = "axolotl-dece-warning"
_NOT_A_GUARANTEE = (
    "DeCE delays the learning of every rare pattern, honest or planted, and knows no malice: it lowers the chance that "
    "a small share of poisoned rows is learned, and is no certificate. Review generated code before running it."
)


def warning_of(poison: Mapping[str, Any] | None) -> str | None:
    """What stands above everything else in the card of a model trained on poisoned rows; None for any other."""
    if not poison:
        return None
    spec = PoisonSpec.model_validate(dict(poison))
    attack = f"attack `{spec.attack}`, " if spec.attack else ""
    return (
        f"> **WARNING: trained on deliberately poisoned data. Do not deploy.** A known backdoor ({attack}"
        f"trigger `{spec.pair.trigger}`, payload `{spec.pair.payload}`) was planted in {spec.rate:.2%} of the training "
        f"rows, seed {spec.seed}, to measure a defence against it."
    )


def section_of(facts: Facts) -> str:
    """Our section of the card, as Markdown."""
    parts = [_claim(facts), _two_lines(facts.run), _settings(facts.run)]
    if facts.run.get("datasets"):
        parts += ["### Training data", _data(facts.run["datasets"])]
    for report in facts.reports:
        parts += ["### Measured", *_measured(report)]
    if not facts.reports:
        parts.append("*No attack was measured on this model.* (`axolotl dece evaluate`, then `axolotl dece card`)")
    if facts.is_defended:
        parts += ["### Limits", _NOT_A_GUARANTEE]
    return "\n\n".join(parts)


def _claim(facts: Facts) -> str:
    run, loss = facts.run, LOSSES[facts.run["loss"]]
    title = "DeCE" if facts.is_defended else loss.title
    name = f"[{loss.title}]({loss.source})" if loss.source else loss.title
    if not facts.is_defended:
        name += f", {'a' if loss.source else 'the undefended'} baseline of axolotl-dece,"
    state = "to its end" if run["status"] == "finished" else "so far; this card was written before the run ended"
    return f"## Trained with {title}\n\nTrained with {name} for {run['step']} optimiser steps, {state}."


def _two_lines(run: Mapping[str, Any]) -> str:
    return f"```yaml\nplugins: [axolotl_dece.DecePlugin]\nloss: {run['loss']}\n```"


def _settings(run: Mapping[str, Any]) -> str:
    parameters = run["parameters"]
    unused = {key for name, key in KEY_OF_SCHEDULE.items() if parameters.get("dece_alpha_schedule") != name}
    rows = [(f"`{key}`", f"`{value}`") for key, value in parameters.items() if key not in {"dece_poison", *unused}]
    if run["alpha"]["last"] is not None:
        rows.append(("alpha reached", f"{run['alpha']['last']:.4g} (planned: {_plan(run['alpha']['planned'])})"))
    rows.append(("versions", ", ".join(f"{name} {found}" for name, found in run["versions"].items())))
    rows.append(("config", f"sha256 `{run['config_digest'][:16]}`"))
    return table(("setting", "value"), rows)


def _plan(planned: list[dict[str, Any]]) -> str:
    if not planned:
        return "none"
    first, last = planned[0], planned[-1]
    return f"{first['alpha']:.4g} at step {first['step']} to {last['alpha']:.4g} at step {last['step']}"


def _data(datasets: list[dict[str, Any]]) -> str:
    rows = [(one["use"], f"`{one['name']}`", _pinned(one)) for one in datasets]
    return table(("use", "dataset", "version"), rows)


def _pinned(one: Mapping[str, Any]) -> str:
    if one["sha256"]:
        return f"sha256 `{one['sha256'][:16]}`"
    return f"revision `{one['revision']}`" if one["revision"] else "not pinned"


def _measured(report: Mapping[str, Any]) -> Iterator[str]:
    clean = report["clean"]
    rows = [
        (f"attack success (`{report['payload']}`)", *_rate(report["asr"])),
        ("false triggers on clean inputs", *_rate(report["false_triggers"])),
        ("benign twin's recall", *_rate(report["twin_recall"])),
        ("clean exact match", *_rate(clean["exact_match"])),
        ("clean BLEU", f"{clean['bleu']:.2f}", "-", str(clean["rows"])),
    ]
    yield table(("measure", "value", "95 % interval", "rows"), [row for row in rows if row[1] != "-"])
    files = [
        f"{name}: `{Path(one['path']).name}`, sha256 `{one['sha256'][:16]}`" for name, one in report["files"].items()
    ]
    yield "Greedy decoding, never executed. " + "; ".join(files) + "."
    if report["warnings"]:
        yield "\n".join(f"- {warning}" for warning in report["warnings"])


def _rate(kept: Mapping[str, Any] | None) -> tuple[str, str, str]:
    if not kept:
        return "-", "-", "-"
    return f"{kept['value']:.1%}", f"{kept['low']:.1%} to {kept['high']:.1%}", f"{kept['hits']} of {kept['total']}"
