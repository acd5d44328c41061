"""A vision backbone from a local folder: images in, features out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.errors import FileError, MismatchError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_FINAL_NORM = "post_layernorm"
_CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
_SHOWN = 3


class VisionBackbone:
    """A network of transformers without its head, in float32 on the CPU.

    Attributes:
        module: the network.
        left_out: parameters that the folder has no numbers for and features do not use.
        pooling: how features are taken: ``class-token``, ``mean`` or ``pooled``.
        folder: where it came from.
    """

    def __init__(self, module: Module, processor: Any, folder: Path, left_out: frozenset[str]):
        self.module, self.folder, self.left_out = module, folder, left_out
        self._processor = processor
        self.pooling = _pooling(module)

    def pixels(self, paths: Sequence[Path]) -> Tensor:
        """Read images as the folder's own image processor prepares them."""
        from deltaworks.inference.images import read_image

        images = [read_image(path) for path in paths]
        prepared: Tensor = self._processor(images=images, return_tensors="pt")["pixel_values"]
        return prepared.float()

    def features(self, batch: Tensor) -> Tensor:
        """Give features ``(n, d)``: class token after the last norm, or the mean of all places."""
        out = self.module(pixel_values=batch)
        if self.pooling == "pooled":
            pooled: Tensor = out.pooler_output
            return pooled.flatten(1)
        states: Tensor = out.last_hidden_state
        if states.dim() == 4:  # convolutions: (n, channels, height, width)
            return states.mean(dim=(2, 3))
        return states[:, 0] if self.pooling == "class-token" else states.mean(dim=1)

    def save(self, folder: Path) -> None:
        """Write it as a model folder that transformers opens, without what was left out."""
        module: Any = self.module
        state = {
            name: one for name, one in module.state_dict().items() if name not in self.left_out
        }
        with _quiet():
            module.save_pretrained(folder, state_dict=state)
        for name in PROCESSOR_FILES:
            if (self.folder / name).is_file():
                shutil.copyfile(self.folder / name, folder / name)


def check_folder(folder: Path) -> dict[str, Any]:
    """Look whether a folder may be a vision backbone, without torch; give its config.

    Raises:
        FileError: something is missing in it.
    """
    for names in (("config.json",), PROCESSOR_FILES):
        if not any((folder / name).is_file() for name in names):
            raise FileError(
                f"has no {' or '.join(names)}",
                where=str(folder),
                fix="Choose the folder of a vision model as transformers saves it.",
            )
    if not any(folder.glob("*.safetensors")):
        raise FileError("has no .safetensors file", where=str(folder))
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FileError(f"cannot be read ({error})", where=str(folder / "config.json")) from error
    if not isinstance(config, dict):
        raise FileError("holds no named fields", where=str(folder / "config.json"))
    return config


def open_backbone(folder: Path) -> VisionBackbone:
    """Open a backbone from a local folder; no code from it is run, nothing is downloaded.

    Raises:
        FileError: something is missing in the folder.
        MismatchError: transformers has no such network, or weights that features need lack.
    """
    import torch
    from transformers import AutoImageProcessor, AutoModel

    check_folder(folder)
    opening = {"local_files_only": True, "trust_remote_code": False}
    try:
        with torch.random.fork_rng(devices=[]), _quiet():
            torch.manual_seed(0)  # of parameters that the folder lacks
            module, found = AutoModel.from_pretrained(
                str(folder),
                **opening,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
            auto: Any = AutoImageProcessor
            processor = auto.from_pretrained(str(folder), **opening)
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RuntimeError) as error:
        first = str(error).strip().split("\n", 1)[0][:200]
        raise MismatchError(
            f"transformers cannot open it as a vision backbone ({first})", where=str(folder)
        ) from error
    left_out = frozenset(found["missing_keys"])
    if lacking := sorted(name for name in left_out if "pooler" not in name):
        raise MismatchError(
            f"lacks {len(lacking)} tensors of the backbone ({', '.join(lacking[:_SHOWN])})",
            where=str(folder),
        )
    module.eval().requires_grad_(False)
    return VisionBackbone(module, processor, folder, left_out)


def _pooling(module: Module) -> str:
    names = [name for name, _ in module.named_parameters()]
    if any(f"{_FINAL_NORM}." in name for name in names) and hasattr(module, "config"):
        return "pooled"
    is_token = any(name.rsplit(".", 1)[-1] in _CLASS_TOKENS for name in names)
    has_token = is_token or any(f"{word}." in name for word in _CLASS_TOKENS for name in names)
    return "class-token" if has_token else "mean"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers' report of a load off the terminal."""
    from transformers.utils import logging

    log: Any = logging
    before, has_bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if has_bar:
            log.enable_progress_bar()
