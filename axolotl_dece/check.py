"""Would this config really train with DeCE? Every question that can be answered before a GPU is rented.

The answers come from axolotl's own loading and validation, as the installed version does them, and from the code that
decides at the run. Nothing is asked, nothing is fetched, and no code of a model's repository is run.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

from axolotl_dece import differences, versions
from axolotl_dece.key_problems import find_problems
from axolotl_dece.keys import PLUGIN, alpha_schedule, find_warnings
from axolotl_dece.loss.names import LOSSES
from axolotl_dece.schedule import Progress

Level = Literal["ok", "warning", "machine", "error"]
REQUIRED = "axolotl_dece.Required"
_OUR_NAMES = (PLUGIN, "axolotl_dece.plugin.DecePlugin")
# What code of others raises when it is loaded or asked: their faults become sentences, not tracebacks of ours.
_THEIR_FAULTS = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError),
    *(RuntimeError, ImportError, OSError, AssertionError, Warning),
)


@dataclass(frozen=True)
class Finding:
    """One answer.

    Attributes:
        level: `error`: a run of this config would not use DeCE, or would not run anywhere; `machine`: the loss is
            right, but here it will not run; `warning`: to think about.
        text: The answer in one sentence.
    """

    level: Level
    text: str


def inspect_config(
    raw: Mapping[Any, Any], duplicates: list[str], *, may_load: Callable[[str], bool] | None = None
) -> list[Finding]:
    """All findings about a raw config; a stage is entered only when the one before it found no error.

    Args:
        raw: The config as it was written.
        duplicates: Sentences about keys written twice.
        may_load: Which plugins of somebody else's config may be loaded to look. None for a config of one's own: all,
            and they may look at what it names, such as the files of its datasets.
    """
    findings = [Finding("error", text) for text in duplicates]
    if problem := versions.find_untested():
        return [*findings, Finding("error", problem)]
    findings.append(Finding("ok", f"axolotl {versions.installed_axolotl()} is installed, which was tested"))
    with _no_other_plugins():
        findings += [*_plugin_findings(raw, may_load or (lambda name: True)), *_loss_findings(raw)]
        if not has_error(findings):
            findings += _run_findings(raw, is_ours=may_load is None)
    return findings


def find_hindrances(raw: Mapping[str, Any]) -> list[str]:
    """Why a run of a config of one's own, with whatever loss of ours, would not come to its end on this machine."""
    with _no_other_plugins():
        findings = list(_plugin_findings(raw, lambda name: True))
        if not has_error(findings):
            findings += _run_findings(raw, is_ours=True)
    return [finding.text for finding in findings if finding.level in ("error", "machine")]


def has_error(findings: list[Finding]) -> bool:
    """Whether a run would not use DeCE."""
    return any(finding.level == "error" for finding in findings)


@contextmanager
def _no_other_plugins() -> Iterator[None]:
    """A run is a process of its own: plugins that this one has loaded before are put aside."""
    from axolotl.integrations.base import PluginManager

    plugins = PluginManager.get_instance().plugins
    before = OrderedDict(plugins)
    plugins.clear()
    try:
        yield
    finally:
        plugins.clear()
        plugins.update(before)


def _plugin_findings(raw: Mapping[Any, Any], may_load: Callable[[str], bool]) -> Iterator[Finding]:
    from axolotl.integrations.base import PluginManager

    listed = raw.get("plugins") or []
    if not isinstance(listed, list):
        yield Finding("error", f"`plugins: {listed!r}` must be a list; write `plugins: [{PLUGIN}]`")
        return
    names = [str(name) for name in listed]
    ours = [name for name in names if differences.dotted_name(name) in _OUR_NAMES]
    if not ours:
        yield Finding("error", f"`{PLUGIN}` is not in `plugins`, so axolotl drops `loss` without a word; add it")
    if len({differences.dotted_name(name) for name in ours}) > 1:
        yield Finding("error", f"`plugins` lists DeCE as {' and as '.join(f'`{n}`' for n in ours)}; keep one of them")
    yield from (_load(name) for name in dict.fromkeys(names) if may_load(name))
    unlisted = set(PluginManager.get_instance().plugins) - {differences.dotted_name(name) for name in names}
    for name in sorted(unlisted):
        if not name.startswith("axolotl."):
            yield Finding("warning", f"plugin `{name}` is not listed, but an installed package has axolotl load it")


def _load(name: str) -> Finding:
    """Load a plugin into axolotl's manager, as the run will."""
    from axolotl.integrations.base import PluginManager, load_plugin

    if ":" in name and not differences.COLON_FORM.is_here:
        text = f"plugin `{name}`: axolotl {versions.installed_axolotl()} reads no colon; write a dot in its place"
        return Finding("error", text)
    try:
        PluginManager.get_instance().plugins[differences.dotted_name(name)] = load_plugin(name)
    except _THEIR_FAULTS as error:
        skipped = isinstance(error, ImportError) and differences.MISSING_PLUGIN_IS_SKIPPED.is_here
        then = "would go on without it" if skipped else "would stop"
        return Finding("error", f"plugin `{name}` cannot be loaded ({error}); axolotl {then}")
    return Finding("ok", f"plugin `{name}` is listed and importable")


def _loss_findings(raw: Mapping[Any, Any]) -> Iterator[Finding]:
    from axolotl.integrations.config import merge_input_args

    try:
        fields = merge_input_args()[1].model_fields
    except _THEIR_FAULTS as error:
        yield Finding("error", f"the keys of the listed plugins cannot stand side by side: {error}")
        return
    yield from (Finding("error", text) for text in find_problems(raw, fields))
    loss = raw.get("loss")
    if isinstance(loss, str) and loss in LOSSES and loss != "dece":
        text = f"`loss: {loss}` trains {LOSSES[loss].title}, on purpose; write `loss: dece` to use DeCE"
        yield Finding("error", text)


def _run_findings(raw: Mapping[str, Any], *, is_ours: bool) -> Iterator[Finding]:
    """What axolotl makes of the config, who trains it then, with what plan, and whether here."""
    from axolotl_dece.machine import find_obstacles

    cfg, refusal = _validated(raw, is_ours=is_ours)
    if cfg is None:
        yield Finding("error", f"axolotl refuses this config: {refusal}")
        return
    yield Finding("ok", "axolotl accepts this config")
    model_config, problem = _model_config(cfg)
    if problem:
        yield Finding("error", problem)
        return
    yield from (Finding("error", text) for text in _other_losses(cfg, model_config))
    yield from _plan_findings(cfg, model_config)
    obstacles = [refusal] if refusal else []
    yield from (Finding("machine", text) for text in [*obstacles, *find_obstacles(cfg)])


def _validated(raw: Mapping[str, Any], *, is_ours: bool) -> tuple[Any, str | None]:
    """The config as axolotl will have it, and what it says against it; both where only this machine is at fault."""
    from axolotl.cli.config import gpu_capabilities
    from axolotl.integrations.base import PluginManager
    from axolotl.utils.config import validate_config
    from axolotl.utils.dict import DictDefault

    cfg = DictDefault(deepcopy(dict(raw)))
    try:
        if is_ours:
            for plugin in PluginManager.get_instance().plugins.values():
                plugin.register(cfg)
        anywhere = validate_config(deepcopy(cfg))
    except _THEIR_FAULTS as error:
        return None, str(error) or type(error).__name__
    try:
        return validate_config(deepcopy(cfg), *gpu_capabilities()), None
    except _THEIR_FAULTS as error:
        return anywhere, str(error)


def _other_losses(cfg: Any, model_config: Any) -> Iterator[str]:
    """Who would compute the loss in place of ours: asked of what decides at the run."""
    from axolotl.core.builders.causal import HFCausalTrainerBuilder

    from axolotl_dece.loss.causal_model import find_inline_loss, find_z_loss
    from axolotl_dece.trainer import find_other_trainer

    cfg = deepcopy(cfg)
    cfg.model_config_type = getattr(model_config, "model_type", None)
    try:
        trainer = HFCausalTrainerBuilder._get_trainer_cls(SimpleNamespace(cfg=cfg))
    except _THEIR_FAULTS as error:
        yield str(error)
    else:
        if problem := find_other_trainer(trainer):
            yield problem
    model_class = _model_class(cfg, model_config)
    if model_class is not None and (problem := find_inline_loss(model_class)):
        yield f"`base_model: {cfg.base_model}`: {problem}"
    if problem := find_z_loss(model_config):
        yield problem


def _model_config(cfg: Any) -> tuple[Any, str | None]:
    """What a model on this machine says of itself, or None, and what transformers says against it.

    The code of its repository is neither asked for nor run.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    name = cfg.base_model_config or cfg.base_model
    try:
        found = AutoConfig.from_pretrained(name, local_files_only=True, trust_remote_code=False)
        found.update(cfg.overrides_of_model_config or {})
    except StrictDataclassError as error:
        said = " ".join(str(error).split())
        return None, f"transformers refuses the model's config, or `overrides_of_model_config`: {said}"
    except _THEIR_FAULTS:
        return None, None
    return found, None


def _model_class(cfg: Any, model_config: Any) -> type | None:
    """The class that axolotl will load the model as, where transformers itself has it."""
    import transformers
    from axolotl.loaders.constants import MULTIMODAL_AUTO_MODEL_MAPPING
    from transformers import AutoModelForCausalLM

    if model_config is None or (cfg.trust_remote_code and getattr(model_config, "auto_map", None)):
        return None
    auto: Any = MULTIMODAL_AUTO_MODEL_MAPPING.get(model_config.model_type, AutoModelForCausalLM)
    if cfg.type_of_model and cfg.type_of_model != "AutoModelForCausalLM":
        auto = getattr(transformers, cfg.type_of_model, None)
    mapping = getattr(auto, "_model_mapping", None)
    found = auto if mapping is None else mapping.get(type(model_config), None)
    return found if isinstance(found, type) else None


def _plan_findings(cfg: Any, model_config: Any) -> Iterator[Finding]:
    yield Finding("ok", _say_alphas(cfg))
    yield from (Finding("warning", text) for text in find_warnings(cfg, cfg.num_epochs))
    yield _logits_memory(cfg, model_config)
    yield _third_line(cfg)


def _say_alphas(cfg: Any) -> str:
    schedule = alpha_schedule(cfg)
    epochs = max(1, math.ceil(cfg.num_epochs or 1))
    if schedule.name == "epoch":
        shown = sorted({*range(min(epochs, 4)), epochs - 1})
        alphas = ", ".join(f"epoch {e + 1}: {schedule.at(Progress(0, 1, e)):.4g}" for e in shown)
    elif schedule.name == "linear":
        done = [f"after {p} %: {schedule.at(Progress(p - 1, 100, 0)):.4g}" for p in (1, 25, 50, 75, 100)]
        alphas = ", ".join(done) + " of the steps"
    else:
        alphas = f"{schedule.value:.4g} throughout"
    return f"alpha ({schedule.name}): {alphas}"


def _logits_memory(cfg: Any, model_config: Any) -> Finding:
    vocab = getattr(model_config.get_text_config(), "vocab_size", None) if model_config else None
    tokens = (cfg.micro_batch_size or 1) * (cfg.sequence_len or 512)
    if vocab is None:
        return Finding(
            "warning",
            f"logits: {cfg.base_model} is not on this machine, so its vocabulary is unknown; with 152k tokens "
            f"one micro-batch of {tokens} positions needs {_gib(tokens * 152064 * 2)} in bf16",
        )
    size = tokens * vocab * 2
    return Finding(
        "ok",
        f"logits: {tokens} positions x {vocab} tokens = {_gib(size)} in bf16, and as much again for their gradient",
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size < 2**70 else "more than any machine has"


def _third_line(cfg: Any) -> Finding:
    if cfg.trainer_cls == REQUIRED:
        return Finding("ok", f"`trainer_cls: {REQUIRED}`: this config cannot train anywhere without the plugin")
    return Finding(
        "warning",
        f"without `trainer_cls: {REQUIRED}` this config trains plain cross-entropy on a machine that lacks the plugin; "
        "add the line before you share it",
    )
