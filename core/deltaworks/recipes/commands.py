"""A recipe as the command line that makes the same artefact."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deltaworks.options import read_options
from deltaworks.recipes.naming import delta_name, display_name, distinct, setting_labels
from deltaworks.recipes.schema import (
    Calibration,
    ChannelMergeRecipe,
    ComparisonRecipe,
    CompressRecipe,
    ContestRecipe,
    EvaluateRecipe,
    ExtractRecipe,
    FuseRecipe,
    GenerateRecipe,
    GrowRecipe,
    MergeRecipe,
    ModelRef,
    RebuildRecipe,
    Recipe,
    RepairRecipe,
    RepairSweepRecipe,
    Setting,
    SweepRecipe,
    Target,
    TransferRecipe,
)

_PROGRAM = "deltaworks-cli"


def as_command(recipe: Recipe, *, file: str = "recipe.json") -> str:
    """Give the command lines, quoted for a POSIX shell; one a line.

    Args:
        recipe: what to do.
        file: where the recipe is saved, for jobs that the command line takes from a file.

    Raises:
        OptionError: a method or option is unknown.
    """
    match recipe:
        case CompressRecipe():
            return "\n".join(_line(words) for words in _compress(recipe))
        case RebuildRecipe():
            base = ["--base", recipe.base.path] if recipe.base else []
            return _line(["rebuild", recipe.delta.path, *base, "-o", recipe.output])
        case MergeRecipe():
            return _line(["merge", file, recipe.output])
        case ComparisonRecipe() | ContestRecipe() | ChannelMergeRecipe():
            return _line(["run", file])
        case SweepRecipe():
            return _line(["sweep", file])
        case RepairRecipe():
            return _line(_repair(recipe))
        case RepairSweepRecipe() | GrowRecipe():
            return _line(["run", file])
        case FuseRecipe():
            return _line(_fuse(recipe))
        case ExtractRecipe():
            return _line(_extract(recipe))
        case TransferRecipe():
            return _line(_transfer(recipe))
        case EvaluateRecipe():
            return _line(_evaluate(recipe))
        case GenerateRecipe():
            return _line(_generate(recipe))


def _compress(recipe: CompressRecipe) -> Iterator[list[str]]:
    """One line for one setting; with several, one for each file, so that names stay."""
    if len(recipe.settings) == 1:
        yield _one(recipe, recipe.experts, recipe.settings[0], recipe.output)
        return
    names = distinct([display_name(expert.path, expert.name) for expert in recipe.experts])
    labels = setting_labels([_full(setting) for setting in recipe.settings])
    for expert, name in zip(recipe.experts, names, strict=True):
        for setting, label in zip(recipe.settings, labels, strict=True):
            target = Path(recipe.output) / delta_name(name, setting.method, label)
            yield _one(recipe, [expert], setting, str(target))


def _one(
    recipe: CompressRecipe, experts: Sequence[ModelRef], setting: Setting, output: str
) -> list[str]:
    inputs = [recipe.base.path, *(expert.path for expert in experts)]
    return ["compress", *inputs, *_method(setting), *_run(recipe), "-o", output]


def _full(setting: Setting) -> tuple[str, dict[str, Any]]:
    """Fill in the defaults, which labels count as well."""
    from deltaworks.methods import compression_method

    method = compression_method(setting.method)
    options = read_options(method.options, setting.options, where=f"method '{method.id}'")
    return method.id, options.model_dump(mode="json")


def _method(setting: Setting) -> list[str]:
    words = ["-m", setting.method]
    for name, value in setting.options.items():
        words += ["--set", f"{name}={_text(value)}"]
    return words


def _run(recipe: CompressRecipe) -> list[str]:
    words = ["--seed", str(recipe.seed), *_calibration(recipe.calibration)]
    if recipe.scope != "linear2d":
        words += ["--scope", recipe.scope]
    if recipe.target is not None:
        words += _target(recipe.target)
    return words


def _target(target: Target) -> list[str]:
    """Write a target as its flag."""
    if target.kind == "bits":
        return ["--bits", f"{target.value:g}"]
    if target.kind == "size":
        return ["--size", str(int(target.value))]
    return ["--quality", f"recovered={target.value:g}", "--data", target.evaluation]


def _calibration(calibration: Calibration) -> list[str]:
    if not calibration.text:
        return []
    words = ["--calibration", calibration.text]
    for name in ("samples", "tokens"):
        value = getattr(calibration, name)
        if value != Calibration.model_fields[name].default:
            words += [f"--{name}", str(value)]
    return words


def _repair(recipe: RepairRecipe) -> list[str]:
    words = ["repair", recipe.aligned.path, recipe.tuned.path, *_method(recipe.setting)]
    for name in ("unaligned", "pretrained", "sibling"):
        model: ModelRef | None = getattr(recipe, name)
        words += [f"--{name}", model.path] if model else []
    fields = ("safety", "task", "harmful", "samples", "tokens", "save", "rank", "out_dtype")
    for name in (*fields, "shard_bytes", "cache", "seed"):
        value = getattr(recipe, name)
        if value != RepairRecipe.model_fields[name].default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if recipe.other_tensors != "method":
        words += ["--others", recipe.other_tensors]
    return [*words, "-o", recipe.output]


def _fuse(recipe: FuseRecipe) -> list[str]:
    words = ["fuse", recipe.base.path, *(one.model.path for one in recipe.models)]
    words += _method(recipe.setting)
    if any(one.weight is not None for one in recipe.models):
        share = 1 / len(recipe.models)
        weights = (share if one.weight is None else one.weight for one in recipe.models)
        words += ["--weights", ",".join(map(repr, weights))]
    for name, value in recipe.options.items():
        words += [f"--{name.replace('_', '-')}", _text(value)]
    for name in ("out_dtype", "shard_bytes", "seed"):
        if getattr(recipe, name) != FuseRecipe.model_fields[name].default:
            words += [f"--{name.replace('_', '-')}", str(getattr(recipe, name))]
    return [*words, "-o", recipe.output]


def _extract(recipe: ExtractRecipe) -> list[str]:
    words = ["extract-lora", recipe.base.path, recipe.expert.path, "--rank", str(recipe.rank)]
    words += ["--energy", f"{recipe.energy:g}"] if recipe.energy else []
    return [*words, "-o", recipe.output]


def _transfer(recipe: TransferRecipe) -> list[str]:
    words = ["transfer", recipe.source.path, recipe.target.path, *_method(recipe.setting)]
    texts = ("seed_data", "training", "held_out", "control_data", "seed_samples", "samples")
    fields = ("tokens", "steps", "rate", "warmup", "decay", "batch", "accumulate")
    for name in (*texts, *fields, "measure_every", "save_every", "shard_bytes", "device", "seed"):
        value = getattr(recipe, name)
        if value != TransferRecipe.model_fields[name].default:
            words += [f"--{name.replace('_', '-')}", str(value)]
    if recipe.arms != TransferRecipe.model_fields["arms"].default:
        words += ["--arms", ",".join(recipe.arms) or "none"]
    if recipe.similarity != "weights":
        words += ["--similarity-only" if recipe.similarity == "only" else "--similarity"]
    words += [] if recipe.merged else ["--no-merged"]
    return [*words, "-o", recipe.output]


def _evaluate(recipe: EvaluateRecipe) -> list[str]:
    words = ["evaluate", recipe.model.path]
    if recipe.reference:
        words += ["--reference", recipe.reference.path]
    if recipe.base:
        words += ["--base", recipe.base.path]
    if recipe.evaluation:
        words += ["--data", recipe.evaluation]
    return words


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _line(words: list[str]) -> str:
    return shlex.join([_PROGRAM, *words])


def _generate(recipe: GenerateRecipe) -> list[str]:
    words = ["ask", recipe.model.path, recipe.prompt]
    if recipe.base:
        words += ["--base", recipe.base.path]
    words += ["--image", recipe.image] if recipe.image else []
    defaults = GenerateRecipe.model_fields
    for name in ("max_tokens", "temperature", "seed"):
        if getattr(recipe, name) != defaults[name].default:
            words += [f"--{name.replace('_', '-')}", str(getattr(recipe, name))]
    return [*words, *([] if recipe.is_chat else ["--no-chat"])]
