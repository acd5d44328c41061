"""A checkpoint as a running model whose weights can be swapped in place."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from threading import Event
from typing import TYPE_CHECKING

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.llava import as_fused
from deltaworks.errors import AppError, CancelledError, MismatchError
from deltaworks.inference.architecture import build_model
from deltaworks.inference.filling import fill
from deltaworks.inference.generation import generate
from deltaworks.inference.pictures import Pictures, pictures_of
from deltaworks.inference.slots import match, slots_of
from deltaworks.inference.tokenizing import end_ids, load_tokenizer
from deltaworks.progress import JobControl

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from transformers import PreTrainedTokenizerBase

_DEFAULT_CONTEXT = 2048


class RunningModel:
    """An architecture in memory, filled from one checkpoint after another.

    Attributes:
        source: whose weights are in now; None while they are not whole.
        tokenizer: of the checkpoint it was built from, or None.
        end_ids: token ids that end a text.
        pictures: prepares pictures, for models that see; None for all others.
        device: where it computes.
    """

    def __init__(self, model: Module, checkpoint: Checkpoint, device: str) -> None:
        self.model = model
        self.device = device
        self.source: Checkpoint | None = None
        self.tokenizer: PreTrainedTokenizerBase | None = None
        self.end_ids: tuple[int, ...] = ()
        self.pictures: Pictures | None = pictures_of(checkpoint)
        self.take_tokenizer(checkpoint)
        self._last_good: Checkpoint | None = None
        self._keeps_last = "logits_to_keep" in signature(model.forward).parameters

    @property
    def has_tokenizer(self) -> bool:
        """Whether texts can be turned into tokens."""
        return self.tokenizer is not None

    def take_tokenizer(self, checkpoint: Checkpoint) -> None:
        """Use the tokenizer of another checkpoint, if it has one."""
        self.tokenizer = load_tokenizer(checkpoint)
        self.end_ids = end_ids(checkpoint, self.tokenizer)

    @property
    def text_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, or a clear refusal.

        Raises:
            MismatchError: the checkpoint carries none.
        """
        if self.tokenizer is None:
            raise MismatchError("no tokenizer beside the weights", fix="Add tokenizer.json")
        return self.tokenizer

    @property
    def context(self) -> int:
        """Most tokens it takes at once."""
        config = getattr(self.model, "config", None)
        config = getattr(config, "text_config", None) or config
        size = getattr(config, "max_position_embeddings", None)
        return size if isinstance(size, int) and size > 0 else _DEFAULT_CONTEXT

    @property
    def keeps_last(self) -> bool:
        """Whether it can score the last positions only."""
        return self._keeps_last

    @property
    def vocabulary_size(self) -> int:
        """Width of its logits."""
        return int(self.model.get_output_embeddings().weight.shape[0])  # type: ignore[operator]

    @property
    def addresses(self) -> dict[str, int]:
        """Where each parameter lies in memory; swaps do not change it."""
        return {slot.names[0]: slot.tensor.data_ptr() for slot in slots_of(self.model)}

    def put(self, source: Checkpoint, control: JobControl | None = None) -> None:
        """Swap every parameter in place, always from the checkpoint's own numbers.

        Names and shapes are checked before the first number is copied. When copying
        fails, the last good weights are put back.

        Raises:
            MismatchError: names, shapes or base do not fit.
            CancelledError: stopped; the old weights return when the model is next used.
        """
        fillings = match(self.model, source)
        self.source = None
        try:
            fill(fillings, source, control or JobControl())
        except CancelledError:
            raise  # stop at once: reading the old weights again may take longer than the user waits
        except Exception:
            self._mend()
            raise
        self.source = self._last_good = source

    def _mend(self) -> None:
        """Put the last good weights back, if that can be done."""
        good = self._last_good
        if good is None:
            return
        try:
            fill(match(self.model, good), good, JobControl())
        except (AppError, OSError, ValueError):
            return  # stays marked as not whole; _ready says so
        self.source = good

    def _ready(self) -> None:
        if self.source is None:
            self._mend()
        if self.source is None:
            raise MismatchError(
                "the last swap of weights was not completed and could not be undone",
                fix="Load a model again",
            )

    def logits(self, ids: Tensor, mask: Tensor | None = None, *, last: int = 0) -> Tensor:
        """Score every next token.

        Args:
            ids: token ids, ``(batch, length)``.
            mask: 1 for tokens, 0 for padding on the right, of the same shape; or None.
            last: only the last positions, counted from the padded end; 0 means all.

        Returns:
            float32 ``(batch, length or last, vocabulary)`` on the model's device.
        """
        import torch

        self._ready()
        ids = ids.to(self.device)
        mask = None if mask is None else mask.to(self.device)
        keep = {"logits_to_keep": last} if last and self._keeps_last else {}
        with torch.inference_mode():
            out = self.model(input_ids=ids, attention_mask=mask, use_cache=False, **keep)
        scores: Tensor = out.logits.float()
        return scores[:, -last:] if last else scores

    def log_probs(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Natural log-probabilities of every next token; shapes as ``logits``."""
        return self.logits(ids, mask).log_softmax(-1)

    def generate(
        self,
        prompt: str,
        max_tokens: int = 256,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        on_text: Callable[[str], None] | None = None,
        stop: Event | None = None,
        image: str = "",
    ) -> str:
        """Go on from a prompt; see ``generation.generate``."""
        self._ready()
        return generate(
            self,
            prompt,
            max_tokens,
            temperature=temperature,
            seed=seed,
            on_text=on_text,
            stop=stop,
            image=image,
        )


def load_model(
    checkpoint: Checkpoint,
    *,
    device: str = "cpu",
    keep_dtype: bool = False,
    control: JobControl | None = None,
) -> RunningModel:
    """Build the architecture of a checkpoint and fill it.

    Folders, adapters over their base, delta files and merges load alike: all numbers
    come through ``Checkpoint.read``.

    Args:
        checkpoint: stays open as long as the model is used.
        device: ``cpu``, ``cuda:0``…
        keep_dtype: compute in the dtype that most weights are stored in, to save
            memory; otherwise float32.
        control: progress and Stop.

    Raises:
        MismatchError: unknown architecture, or weights that do not fit it.
    """
    import torch

    from deltaworks.numerics.words import torch_dtype

    checkpoint = as_fused(checkpoint)
    dtype = torch_dtype(_main_dtype(checkpoint)) if keep_dtype else torch.float32
    model = build_model(checkpoint.config, dtype, where=str(checkpoint.path)).to(device)
    running = RunningModel(model, checkpoint, device)
    running.put(checkpoint, control)
    return running


def _main_dtype(checkpoint: Checkpoint) -> str:
    """The floating dtype with the most numbers in it."""
    counts: dict[str, int] = {"F32": 0}
    for info in map(checkpoint.info, checkpoint.names):
        if info.is_floating:
            counts[info.dtype] = counts.get(info.dtype, 0) + info.n_elements
    return max(counts, key=lambda name: counts[name])
