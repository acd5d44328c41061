"""Text from a model that stays in memory: the next one is swapped in where it fits."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.llava import SEEING
from deltaworks.engine.checks import check_device, raise_together
from deltaworks.engine.environment import resident_bytes, versions
from deltaworks.engine.inputs import open_input
from deltaworks.engine.plan_types import Plan, WorkItem
from deltaworks.engine.reports import Report
from deltaworks.errors import AppError, FileError, MismatchError, OptionError
from deltaworks.progress import JobControl, Measured, Progress
from deltaworks.recipes import dump_recipe
from deltaworks.recipes.naming import display_name
from deltaworks.recipes.schema import GenerateRecipe

if TYPE_CHECKING:
    from deltaworks.checkpoints.checkpoint import Checkpoint
    from deltaworks.inference.running import RunningModel

_TELL_S = 0.05
"""Seconds between two pieces of text that are sent."""


@dataclass
class _Held:
    """The model in memory and the files that its numbers come from."""

    running: RunningModel
    files: ExitStack
    key: str
    device: str


_held: _Held | None = None
"""One a process: engines run one job at a time."""


def release() -> None:
    """Let the model in memory go."""
    global _held
    if _held is not None:
        _held.files.close()
        _held = None


def plan_generate(recipe: GenerateRecipe) -> Plan:
    """Say what will be read and held.

    Raises:
        AppError: a model cannot be opened.
    """
    with ExitStack() as files:
        model = _open(recipe, files)
        item = WorkItem(str(model.path), "loading", model.nbytes, 0, 2 * model.nbytes)
        name = display_name(recipe.model.path, recipe.model.name)
        return Plan(f"Ask {name}", (item,), (), original_bytes=model.nbytes)


def run_generate(recipe: GenerateRecipe, control: JobControl) -> Report:
    """Swap the model in, or load it, then write; text is told as it comes.

    ``Measured("loaded", …)`` tells how long the swap took, ``Measured("text", …)`` each new
    piece. After a stop, the pieces that were told are what there is.

    Raises:
        AppError: a model cannot be opened, has no tokenizer, or writes no text.
    """
    started = time.perf_counter()
    running, facts = _put(recipe, control)
    control.report(Measured("loaded", facts))
    begun = time.perf_counter()
    pieces = _Pieces(control)
    text = running.generate(
        _wrapped(running, recipe),
        recipe.max_tokens,
        temperature=recipe.temperature,
        seed=recipe.seed,
        on_text=pieces.add,
        stop=control.cancelled,
        image=recipe.image,
    )
    pieces.tell()
    control.check()
    seconds = time.perf_counter() - begun
    results = {
        **facts,
        "text": text,
        "seconds": seconds,
        "pieces": pieces.count,
        "seconds_per_token": seconds / max(1, pieces.count),
        "memory_bytes": resident_bytes(),
    }
    return Report(
        job="generate",
        recipe=dump_recipe(recipe),
        seconds={"total": round(time.perf_counter() - started, 4)},
        peak_bytes=resident_bytes(),
        versions=versions(),
        results={"generation": results},
    )


class _Pieces:
    """Collects text and tells it a few times a second."""

    def __init__(self, control: JobControl) -> None:
        self._control = control
        self._waiting = ""
        self._told_at = float("-inf")
        self.count = 0

    def add(self, text: str) -> None:
        self.count += 1
        self._waiting += text
        if time.monotonic() - self._told_at >= _TELL_S:
            self.tell()

    def tell(self) -> None:
        if self._waiting:
            self._control.report(Measured("text", {"text": self._waiting}))
            self._waiting, self._told_at = "", time.monotonic()


def _put(recipe: GenerateRecipe, control: JobControl) -> tuple[RunningModel, dict[str, Any]]:
    """Have the recipe's model in memory; say how, and how long it took."""
    global _held
    key = f"{recipe.model.path}|{recipe.base.path if recipe.base else ''}"
    if _held is not None and (_held.key, _held.device) == (key, recipe.device):
        return _held.running, {"how": "kept", "load_seconds": 0.0}
    started = time.perf_counter()
    files = ExitStack()
    try:
        model = _open(recipe, files)
        swapped = _swapped(model, recipe.device, control)
        if swapped is None:
            release()
            control.step(Progress(0, 0, "loading the model"))
            running = _load(model, recipe.device, control)
    except BaseException:
        files.close()
        raise
    if swapped is not None:
        assert _held is not None
        _held.files.close()
        running = swapped
    _held = _Held(running, files, key, recipe.device)
    how = "loaded" if swapped is None else "swapped"
    return running, {"how": how, "load_seconds": time.perf_counter() - started}


def _swapped(model: Checkpoint, device: str, control: JobControl) -> RunningModel | None:
    """Put a model in the place of the one in memory; None where it does not fit there."""
    if _held is None or _held.device != device or _held.running.pictures is not None:
        return None  # a model that sees is more than its weights: tower settings, processors
    if _held.running.model.config.architectures != model.config.get("architectures"):  # type: ignore[union-attr]  # transformers' config
        return None
    try:
        _held.running.put(model, control)
    except MismatchError:
        return None
    _held.running.take_tokenizer(model)
    return _held.running


def _load(model: Checkpoint, device: str, control: JobControl) -> RunningModel:
    from deltaworks.inference import load_model

    return load_model(model, device="cpu" if device == "auto" else device, control=control)


def _open(recipe: GenerateRecipe, files: ExitStack) -> Checkpoint:
    faults: list[AppError] = list(check_device(recipe.device))
    base = open_input(recipe.base.path, None, files, faults) if recipe.base else None
    model = open_input(recipe.model.path, base, files, faults)
    if model is not None and model.kind in {"adapter", "delta"} and base is None:
        what = f"is {'an adapter' if model.kind == 'adapter' else 'a delta file'}"
        faults.append(OptionError(what, where=recipe.model.path, fix="Give its base too."))
    if recipe.image and not Path(recipe.image).is_file():
        faults.append(FileError("is not there", where=recipe.image, fix="Check the path."))
    if recipe.image and model is not None and model.config.get("model_type") not in SEEING:
        kind = model.config.get("model_type")
        what = f"reads no pictures (model type {kind!r})"
        fix = "Choose a LLaVA or a fused model."
        faults.append(OptionError(what, where=recipe.model.path, fix=fix))
    raise_together(faults)
    assert model is not None
    return model


def _wrapped(running: RunningModel, recipe: GenerateRecipe) -> str:
    """The prompt as the model was trained to see it."""
    tokenizer = running.text_tokenizer
    if not recipe.is_chat or not getattr(tokenizer, "chat_template", None):
        return recipe.prompt
    apply: Callable[..., Any] = tokenizer.apply_chat_template
    place = running.pictures.text if recipe.image and running.pictures else ""
    for content in _contents(recipe.prompt, place):
        message = [{"role": "user", "content": content}]
        text = str(apply(message, tokenize=False, add_generation_prompt=True))
        if not place or place in text:
            return text
    return text


def _contents(prompt: str, place: str) -> list[Any]:
    """Write a question as templates may want it: in parts for those that know pictures."""
    if not place:
        return [prompt]
    parts = [{"type": "image"}, {"type": "text", "text": prompt}]
    return [parts, f"{place}\n{prompt}"]
