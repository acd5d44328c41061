"""A text cut into fixed windows, the same for every model that is measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deltaworks.evaluation.suite import Text

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

_CHARACTERS_A_TOKEN = 16  # no tokenizer packs text tighter on average; bounds the work


@dataclass(frozen=True, slots=True)
class Windows:
    """Inputs, targets and which predictions count.

    Args:
        title: of the text.
        batches: ``(inputs, targets)`` of ``(rows, length)`` token ids each; rows of one
            batch have one length.
        skips: for each batch and row, leading positions that only give context.
        n: predictions that count in all.
        width: longest window; ``stride`` how far each moves on.
    """

    title: str
    batches: tuple[tuple[Tensor, Tensor], ...]
    skips: tuple[tuple[int, ...], ...]
    n: int
    width: int
    stride: int

    @property
    def data(self) -> str:
        """What it is, for people: perplexity depends on the windows, so they are named."""
        step = "" if self.stride == self.width else f", stride {self.stride}"
        return f"{self.title}, {self.n:,} tokens in windows of {self.width}{step}"


def cut(
    text: Text,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_tokens: int,
    width: int,
    stride: int,
    batch_tokens: int,
) -> Windows:
    """Cut the first ``max_tokens`` predictions of a text into windows.

    Window i reads tokens ``[i·stride, i·stride + width)`` and predicts the next token at
    each. In the first window all predictions count, later only the last ``stride``, so
    that every token of the text counts once.

    Args:
        text: as it stands in the file; no special tokens are added.
        tokenizer: one for all models of a comparison.
        max_tokens: predictions at most.
        width: tokens a window.
        stride: 1 to ``width``.
        batch_tokens: tokens a batch, at least one window.
    """
    import torch

    content = text.content[: (max_tokens + 1) * _CHARACTERS_A_TOKEN]
    ids = tokenizer(content, add_special_tokens=False, verbose=False)["input_ids"][: max_tokens + 1]
    tokens = torch.tensor(ids, dtype=torch.long)
    spans = _spans(len(ids) - 1, width, stride)
    batches, skips = [], []
    for group in _groups(spans, max(1, batch_tokens // width)):
        batches.append(
            (
                torch.stack([tokens[a:b] for a, b, _ in group]),
                torch.stack([tokens[a + 1 : b + 1] for a, b, _ in group]),
            )
        )
        skips.append(tuple(skip for _, _, skip in group))
    return Windows(text.title, tuple(batches), tuple(skips), max(0, len(ids) - 1), width, stride)


def _spans(n: int, width: int, stride: int) -> list[tuple[int, int, int]]:
    """List start, end and leading context of each window over ``n`` inputs."""
    spans, counted, start = [], 0, 0
    while counted < n:
        end = min(start + width, n)
        spans.append((start, end, counted - start))
        counted, start = end, start + stride
    return spans


def _groups(spans: list[tuple[int, int, int]], rows: int) -> list[list[tuple[int, int, int]]]:
    """Put up to ``rows`` windows of one length together, in order."""
    groups: list[list[tuple[int, int, int]]] = []
    for span in spans:
        length = span[1] - span[0]
        last = groups[-1] if groups else []
        if last and len(last) < rows and last[0][1] - last[0][0] == length:
            last.append(span)
        else:
            groups.append([span])
    return groups
