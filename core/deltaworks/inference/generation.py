"""Text token by token, with a callback and a stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    image: str = "",
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
        image: a picture's file; it stands where the prompt says ``<image>``, or first.

    Returns:
        The new text alone, special tokens left out.

    Raises:
        OptionError: the prompt is empty, or a picture was given to a model without eyes.
        FileError: the picture cannot be read.
    """
    tokenizer = running.text_tokenizer
    ids, pixels = _inputs(running, prompt, image)
    if not ids:
        raise OptionError("the prompt is empty", fix="Write a prompt")
    written: list[int] = []
    shown = ""
    new = tokens(
        running, ids, max_tokens, temperature=temperature, seed=seed, stop=stop, pixels=pixels
    )
    for token in new:
        written.append(token)
        text = str(tokenizer.decode(written, skip_special_tokens=True))
        if on_text is not None and not text.endswith("\N{REPLACEMENT CHARACTER}"):
            on_text(text[len(shown) :])
            shown = text
    text = str(tokenizer.decode(written, skip_special_tokens=True))
    if on_text is not None and len(text) > len(shown):
        on_text(text[len(shown) :])
    return text


def _inputs(running: RunningModel, prompt: str, image: str) -> tuple[list[int], dict[str, Tensor]]:
    """Turn prompt and picture into what the network reads."""
    tokenizer = running.text_tokenizer

    def tokenize(text: str) -> list[int]:
        found: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    if not image:
        return tokenize(prompt), {}
    if running.pictures is None:
        raise OptionError("reads no pictures", where="model", fix="Choose a LLaVA or a fused model")
    pixels = running.pictures.pixels(image)
    placed = {name: values.to(running.device) for name, values in pixels.items()}
    return running.pictures.token_ids(prompt, tokenize), placed


def tokens(
    running: RunningModel,
    ids: list[int],
    max_tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    stop: Event | None = None,
    pixels: Mapping[str, Tensor] | None = None,
) -> Iterator[int]:
    """Yield new token ids, the end token not among them; arguments as ``generate``.

    ``pixels`` are pictures as each tower takes them, for the placeholders among ``ids``.
    """
    import torch

    rng = torch.Generator().manual_seed(seed)
    cache, step = None, torch.tensor([ids], device=running.device)
    for _ in range(max(0, min(max_tokens, running.context - len(ids)))):
        if stop is not None and stop.is_set():
            return
        with torch.inference_mode():
            # Pictures are in the cache after the first step.
            seen = pixels or {} if cache is None else {}
            out = running.model(input_ids=step, past_key_values=cache, use_cache=True, **seen)
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
