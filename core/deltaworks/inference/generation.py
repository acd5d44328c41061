"""Text token by token, with a callback and a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event
from typing import TYPE_CHECKING

from deltaworks.errors import OptionError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from deltaworks.inference.running import RunningModel


def generate(
    running: RunningModel,
    prompt: str,
    max_tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    on_text: Callable[[str], None] | None = None,
    stop: Event | None = None,
) -> str:
    """Go on from a prompt until an end token, ``max_tokens``, a full context or ``stop``.

    Args:
        running: the model; its weights must not be swapped meanwhile.
        prompt: tokenised as it is, without special tokens.
        max_tokens: most tokens to write.
        temperature: 0 takes the likeliest token; above, tokens are drawn.
        seed: of the drawing; one seed gives one text.
        on_text: called with every new piece of text.
        stop: checked before each token.

    Returns:
        The new text alone, special tokens left out.

    Raises:
        OptionError: the prompt is empty.
    """
    tokenizer = running.text_tokenizer
    ids = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    if not ids:
        raise OptionError("the prompt is empty", fix="Write a prompt")
    written: list[int] = []
    shown = ""
    for token in tokens(running, ids, max_tokens, temperature=temperature, seed=seed, stop=stop):
        written.append(token)
        text = str(tokenizer.decode(written, skip_special_tokens=True))
        if on_text is not None and not text.endswith("\N{REPLACEMENT CHARACTER}"):
            on_text(text[len(shown) :])
            shown = text
    text = str(tokenizer.decode(written, skip_special_tokens=True))
    if on_text is not None and len(text) > len(shown):
        on_text(text[len(shown) :])
    return text


def tokens(
    running: RunningModel,
    ids: list[int],
    max_tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Event | None = None,
) -> Iterator[int]:
    """Yield new token ids, the end token not among them; arguments as ``generate``."""
    import torch

    rng = torch.Generator().manual_seed(seed)
    cache, step = None, torch.tensor([ids], device=running.device)
    for _ in range(max(0, min(max_tokens, running.context - len(ids)))):
        if stop is not None and stop.is_set():
            return
        with torch.inference_mode():
            out = running.model(input_ids=step, past_key_values=cache, use_cache=True)
        cache = getattr(out, "past_key_values", None)
        token = _choose(out.logits[0, -1].float().cpu(), temperature, rng)
        if token in running.end_ids:
            return
        yield token
        ids = [*ids, token]
        # networks that keep no such cache read everything again
        step = torch.tensor([ids if cache is None else [token]], device=running.device)


def _choose(scores: Tensor, temperature: float, rng: Generator) -> int:
    import torch

    if temperature <= 0.0:
        return int(scores.argmax())
    # float64 keeps small temperatures finite
    chances = torch.softmax(scores.double() / temperature, -1)
    return int(torch.multinomial(chances, 1, generator=rng))
