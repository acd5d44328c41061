"""The tokenizer that a checkpoint carries, whatever kind of checkpoint it is."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from deltaworks.checkpoints.checkpoint import Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FILES = frozenset(
    {
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "vocab.txt",
        "merges.txt",
        "spiece.model",
        "sentencepiece.bpe.model",
        "chat_template.jinja",
    }
)
_VOCABULARIES = frozenset(_FILES - {"tokenizer_config.json", "special_tokens_map.json"})


@runtime_checkable
class CarriesSideFiles(Protocol):
    """A checkpoint whose side files are inside its own file."""

    def side_file_bytes(self) -> dict[str, bytes]:
        """Name to content of every side file."""


def load_tokenizer(checkpoint: Checkpoint) -> PreTrainedTokenizerBase | None:
    """Load it from local files only; None when there is none that we can read.

    Only the tokenizer's own files and the config are laid out in a temporary folder, so
    nothing else beside the weights is looked at and no code of theirs is run.
    """
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory(prefix="deltaworks-tokenizer-") as name:
        folder = Path(name)
        if not _lay_out(checkpoint, folder):
            return None
        try:
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (ValueError, OSError, KeyError, TypeError, ImportError, AttributeError):
            return None  # the caller measures without text and says so
        return tokenizer


def _lay_out(checkpoint: Checkpoint, folder: Path) -> bool:
    """Write the files; False when no vocabulary is among them."""
    names = set()
    if isinstance(checkpoint, CarriesSideFiles):
        for name, data in checkpoint.side_file_bytes().items():
            if name in _FILES:
                (folder / name).write_bytes(data)
                names.add(name)
    for name, path in checkpoint.side_files.items():
        if name in _FILES - names and path.is_file():
            shutil.copyfile(path, folder / name)
            names.add(name)
    if checkpoint.config:
        (folder / "config.json").write_text(json.dumps(_plain(checkpoint.config)))
    return bool(names & (_VOCABULARIES - {"chat_template.jinja"}))


def _plain(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "auto_map"}


def end_ids(checkpoint: Checkpoint, tokenizer: PreTrainedTokenizerBase | None) -> tuple[int, ...]:
    """Token ids that end a text: the tokenizer's first, then the config's; may be empty."""
    found: list[object] = []
    for value in (getattr(tokenizer, "eos_token_id", None), checkpoint.config.get("eos_token_id")):
        found += value if isinstance(value, list) else [value]
    known = dict.fromkeys(number for number in found if isinstance(number, int))
    return tuple(known)
