"""Pictures for models that see: one processor a tower, placeholders in the prompt."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.documents import read_bytes
from deltaworks.checkpoints.llava import image_settings
from deltaworks.errors import AppError, FileError, MismatchError

if TYPE_CHECKING:
    from torch import Tensor

_SETTINGS = "preprocessor_config.json"
_FIX = "Copy it from where the model came from."


class Pictures:
    """Prepares a picture for every tower, and its places in a prompt.

    Args:
        processors: of each tower, by its id; each gives ``pixel_values`` of a picture.
        counts: tokens that each tower gives, by its id.
        sizes: pixels that each tower takes along one side, by its id.
        token: id that stands for a picture in a prompt.
        text: the same as it is written.
    """

    def __init__(
        self,
        processors: Mapping[str, Any],
        counts: Mapping[str, int],
        sizes: Mapping[str, int],
        token: int,
        text: str,
    ) -> None:
        self._processors = processors
        self.counts, self._sizes = counts, sizes
        self.token, self.text = token, text

    @property
    def n_tokens(self) -> int:
        """Tokens of one picture, of all towers."""
        return sum(self.counts.values())

    def pixels(self, path: Path | str) -> dict[str, Tensor]:
        """Read a picture and prepare it for every tower.

        Returns:
            ``pixel_values_<id>``, each ``(1, channels, side, side)`` in float32.

        Raises:
            FileError: it is no picture.
            MismatchError: a processor gives another size than its tower takes.
        """
        picture = read_picture(path)
        found = {}
        for name, processor in self._processors.items():
            values: Tensor = processor(picture, return_tensors="pt")["pixel_values"]
            side = self._sizes[name]
            if tuple(values.shape[-2:]) != (side, side):
                raise MismatchError(
                    f"prepares {tuple(values.shape[-2:])} pixels, its tower takes {side} by {side}",
                    where=f"processors/{name}",
                    fix="Models that cut pictures into tiles are not supported.",
                )
            found[f"pixel_values_{name}"] = values.float().reshape(-1, *values.shape[-3:])[:1]
        return found

    def token_ids(self, prompt: str, tokenize: Callable[[str], Sequence[int]]) -> list[int]:
        """Turn a prompt into tokens, with as many placeholders as the towers give tokens.

        Args:
            prompt: with ``text`` where the picture belongs; without it, it comes first.
            tokenize: gives the ids of a text.

        Raises:
            MismatchError: more places than the one picture.
        """
        parts = prompt.split(self.text)
        if len(parts) > 2:
            raise MismatchError(
                f"the prompt has {len(parts) - 1} places for pictures, 1 picture was given",
                fix=f"Write {self.text} once.",
            )
        before, after = parts if len(parts) == 2 else ("", prompt)
        ids = [*tokenize(before)] if before else []
        return [*ids, *[self.token] * self.n_tokens, *tokenize(after)]


def read_picture(path: Path | str) -> Any:
    """Read a picture in RGB; nothing but the known picture formats is decoded.

    Raises:
        FileError: it is not there, or no picture.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except FileNotFoundError as error:
        raise FileError("is not there", where=str(path), fix="Check the path.") from error
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        what = "is no picture that can be read"
        raise FileError(what, where=str(path), fix="Choose a PNG or JPEG file.") from error


def pictures_of(checkpoint: Checkpoint) -> Pictures | None:
    """Give what prepares pictures for a fused or a LLaVA model; None for models without eyes.

    Args:
        checkpoint: seen as a fused model.

    Raises:
        FileError: a processor's settings are missing.
        MismatchError: transformers does not carry that processor.
    """
    config = checkpoint.config
    towers = config.get("towers")
    if not towers:
        return None
    names = [str(tower["id"]) for tower in towers]
    return Pictures(
        {name: _Late(checkpoint, name) for name in names},
        {name: int(tower["image_seq_length"]) for name, tower in zip(names, towers, strict=True)},
        {
            name: int(tower["vision_config"].get("image_size", 224))
            for name, tower in zip(names, towers, strict=True)
        },
        int(config["image_token_index"]),
        str(config.get("image_token") or "<image>"),
    )


class _Late:
    """A processor that is made when the first picture comes: texts alone need none."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self._checkpoint, self._name = checkpoint, name
        self._made: Any = None

    def __call__(self, picture: Any, **how: Any) -> Any:
        if self._made is None:
            self._made = _processor(self._checkpoint, self._name)
        return self._made(picture, **how)


def _processor(checkpoint: Checkpoint, name: str) -> Any:
    """Make an image processor from its settings alone; no code beside them is run."""
    import json

    from transformers import AutoImageProcessor

    own = checkpoint.path / "processors" / name / _SETTINGS
    if own.is_file():
        data = read_bytes(own)
    else:
        found = image_settings(checkpoint)
        if found is None:
            raise FileError(f"has no {_SETTINGS}", where=str(checkpoint.path), fix=_FIX)
        data = json.dumps(found).encode()
    with tempfile.TemporaryDirectory(prefix="deltaworks-processor-") as folder:
        (Path(folder) / _SETTINGS).write_bytes(data)
        auto: Any = AutoImageProcessor
        try:
            return auto.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, backend="pil"
            )
        except AppError:
            raise
        except (ValueError, OSError, KeyError, TypeError, ImportError, AttributeError) as error:
            first = str(error).strip().split("\n", 1)[0][:160]
            raise MismatchError(
                f"no built-in image processor fits ({first})", where=f"processors/{name}"
            ) from error
