"""What a fused model costs to keep and to run, from the configs alone.

Source: our specification of fusion, 2.3. One sequence, dense attention counted in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

TEXT_TOKENS = 64
"""Of the question that prefill is counted with."""
_BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, slots=True)
class LanguageShape:
    """What of a language model's config counts.

    Args:
        layers: decoder blocks.
        hidden: width of the residual stream.
        kv_heads: heads of keys and values.
        head_dim: of each.
        number_bytes: bytes of a number in the cache.
    """

    layers: int
    hidden: int
    kv_heads: int
    head_dim: int
    number_bytes: int = 2

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that keys and values of one token take in all layers."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.number_bytes


def language_shape(config: Mapping[str, Any], number_bytes: int | None = None) -> LanguageShape:
    """Read the shape of a language model from its config.

    Args:
        config: the text model's own part.
        number_bytes: of a cached number; as the config's dtype says when not given.
    """
    heads = int(config["num_attention_heads"])
    dtype = str(config.get("dtype") or config.get("torch_dtype") or "float16")
    return LanguageShape(
        layers=int(config["num_hidden_layers"]),
        hidden=int(config["hidden_size"]),
        kv_heads=int(config.get("num_key_value_heads") or heads),
        head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
        number_bytes=number_bytes or _BYTES.get(dtype, 2),
    )


def projector_parameters(inputs: int, hidden: int, outputs: int, *, has_bias: bool = True) -> int:
    """Count the numbers of a projector of two linear layers."""
    return inputs * hidden + hidden * outputs + (hidden + outputs if has_bias else 0)


@dataclass(frozen=True, slots=True)
class BranchCost:
    """One vision tower with its projector.

    Args:
        name: for people.
        tower: parameters.
        projector: parameters.
        tokens: that it gives the language model for one picture.
        patches: that the tower itself computes.
    """

    name: str
    tower: int
    projector: int
    tokens: int
    patches: int

    @property
    def picture_flops(self) -> int:
        """Work of the tower on one picture, once."""
        return 2 * self.tower * self.patches


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way of running costs for one picture and one question.

    Args:
        parameters: that are kept.
        picture_tokens: before the question.
        kv_bytes: cache of picture and question.
        prefill_flops: reading both, towers included.
        decode_flops: one further token.
    """

    parameters: int
    picture_tokens: int
    kv_bytes: int
    prefill_flops: int
    decode_flops: int


@dataclass(frozen=True, slots=True)
class Overhead:
    """The fused model beside one of its models and beside all of them.

    Args:
        language: parameters of the language model.
        kv_bytes_per_token: of its cache.
        branches: in the order of their tokens.
        fused: cost of the fused model.
        single: cost of the cheapest single model.
        separate: cost of running all models one after the other.
    """

    language: int
    kv_bytes_per_token: int
    branches: tuple[BranchCost, ...]
    fused: Cost
    single: Cost
    separate: Cost

    def as_json(self) -> dict[str, Any]:
        """Give plain data for reports."""
        return asdict(self)


def overhead_of(
    shape: LanguageShape,
    language: int,
    branches: Sequence[BranchCost],
    *,
    text_tokens: int = TEXT_TOKENS,
) -> Overhead:
    """Count what a fusion of these branches costs.

    Args:
        shape: of the language model.
        language: its parameters.
        branches: every model's tower and projector.
        text_tokens: of the question.
    """
    singles = [_cost(shape, language, [branch], text_tokens) for branch in branches]
    separate = Cost(*(sum(values) for values in zip(*map(_figures, singles), strict=True)))
    return Overhead(
        language,
        shape.kv_bytes_per_token,
        tuple(branches),
        _cost(shape, language, branches, text_tokens),
        min(singles, key=lambda cost: cost.prefill_flops),
        separate,
    )


def _figures(cost: Cost) -> tuple[int, ...]:
    return (
        cost.parameters,
        cost.picture_tokens,
        cost.kv_bytes,
        cost.prefill_flops,
        cost.decode_flops,
    )


def _cost(
    shape: LanguageShape, language: int, branches: Sequence[BranchCost], text_tokens: int
) -> Cost:
    tokens = sum(branch.tokens for branch in branches)
    length = tokens + text_tokens
    attention = 4 * shape.layers * shape.hidden
    return Cost(
        parameters=language + sum(branch.tower + branch.projector for branch in branches),
        picture_tokens=tokens,
        kv_bytes=length * shape.kv_bytes_per_token,
        prefill_flops=2 * language * length
        + attention * length**2
        + sum(branch.picture_flops for branch in branches),
        decode_flops=2 * language + attention * length,
    )
