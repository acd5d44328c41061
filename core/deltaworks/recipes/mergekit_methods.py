"""mergekit's methods by their names there: our ids, their parameters and defaults.

Source: the merging specification, 3.2 and 3.3, for version 0.1.5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from deltaworks.recipes.patterns import varies

REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Peer:
    """One of its methods.

    Args:
        id: of our method.
        base: ``needed``; ``alike`` where it is a model like the others; ``deltas`` where
            naming one means to merge what the models changed in it.
        common: parameters of the merge, with their defaults.
        each: parameters of every expert.
    """

    id: str
    base: Literal["needed", "alike", "deltas"]
    common: Mapping[str, Any] = field(default_factory=dict)
    each: Mapping[str, Any] = field(default_factory=dict)

    @property
    def takes_base(self) -> bool:
        """Whether a base stands apart from the experts."""
        return self.base != "alike"

    @property
    def required(self) -> frozenset[str]:
        """Parameters without a default, by our names."""
        both = {**self.common, **self.each}
        return frozenset(OURS.get(name, name) for name, value in both.items() if value is REQUIRED)


_WEIGHT = {"weight": REQUIRED}
_SPARSE = _WEIGHT | {"density": 1.0}
_TIES = {"normalize": True, "rescale": False, "lambda": 1.0}
_DELLA = _TIES | {"rescale": True}
_PLAIN = _TIES | {"normalize": False}
PEERS = {
    "linear": Peer("linear", "alike", {"normalize": True}, _WEIGHT),
    "slerp": Peer("slerp", "needed", {"t": REQUIRED}),
    "nuslerp": Peer(
        "nuslerp", "deltas", {"nuslerp_flatten": True, "nuslerp_row_wise": False}, _WEIGHT
    ),
    "multislerp": Peer("multislerp", "deltas", {"normalize_weights": True, "eps": 1e-8}, _WEIGHT),
    "karcher": Peer("karcher", "alike", {"max_iter": 10, "tol": 1e-5}),
    "nearswap": Peer("nearswap", "needed", {"t": REQUIRED}),
    "arcee_fusion": Peer("arcee-fusion", "needed"),
    "model_stock": Peer("model-stock", "needed", {"filter_wise": False}),
    "passthrough": Peer("passthrough", "alike", {}, {"scale": 1.0}),
    "task_arithmetic": Peer(
        "task-arithmetic", "needed", {"normalize": False, "lambda": 1.0}, _WEIGHT
    ),
    "ties": Peer("ties", "needed", _TIES, _SPARSE),
    "dare_linear": Peer("dare-linear", "needed", _PLAIN | {"rescale": True}, _SPARSE),
    "dare_ties": Peer("dare-ties", "needed", _PLAIN | {"rescale": True}, _SPARSE),
    "breadcrumbs": Peer("breadcrumbs", "needed", _PLAIN, _SPARSE | {"gamma": 0.01}),
    "breadcrumbs_ties": Peer("breadcrumbs-ties", "needed", _PLAIN, _SPARSE | {"gamma": 0.01}),
    "della": Peer("della", "needed", _DELLA, _SPARSE | {"epsilon": 0.15}),
    "della_linear": Peer(
        "della-linear", "needed", _DELLA | {"normalize": False}, _SPARSE | {"epsilon": 0.15}
    ),
    "sce": Peer("sce", "needed", {"select_topk": 1.0}),
    "ram": Peer("ram", "needed", {"epsilon": 1e-5}),
    "ramplus_tl": Peer("ramplus-tl", "needed", {"epsilon": 1e-5, "r": 0.1, "alpha": 0.2}),
}
OURS = {"lambda": "scale", "normalize_weights": "normalize"}
"""Its parameters that we call otherwise."""
NO_EFFECT = frozenset({"int8_mask"})
"""Its parameters that change no number."""
DTYPES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16", "float64": "F64"}


def required_options(method_id: str) -> frozenset[str]:
    """Give the options that mergekit does not fill in, of one of our methods."""
    return next((peer.required for peer in PEERS.values() if peer.id == method_id), frozenset())


def translated(peer: Peer, values: Mapping[str, Any]) -> dict[str, Any]:
    """Say in our options what it says with its parameters; values may be patterns.

    Args:
        peer: the method.
        values: parameters of one scope, known ones only.
    """
    found = {OURS.get(name, name): mapped(value, plain) for name, value in values.items()}
    if peer.id in {"dare-linear", "dare-ties"} and "rescale" in found:
        found["rescale"] = mapped(found["rescale"], lambda one: "l1" if flag(one) else "none")
    if peer.id == "nuslerp":
        flat = found.pop("nuslerp_flatten", None)
        turned = found.pop("nuslerp_row_wise", None)
        if flat is not None or turned is not None:
            found["vectors"] = _vectors(flat, turned)
    return found


def _vectors(flat: Any, turned: Any) -> Any:
    """Join two flags; its ``row_wise`` goes along columns."""
    flat, turned = True if flat is None else flat, False if turned is None else turned
    if varies(flat) and varies(turned):
        raise ValueError("nuslerp_flatten and nuslerp_row_wise cannot both vary here")
    if varies(turned):
        return mapped(turned, lambda one: _along(flag(flat), flag(one)))
    return mapped(flat, lambda one: _along(flag(one), flag(turned)))


def _along(is_flat: bool, is_turned: bool) -> str:
    return "tensor" if is_flat else "columns" if is_turned else "rows"


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Change every plain value inside a pattern."""
    if isinstance(value, Mapping):
        return {**value, "value": mapped(value["value"], change)} if "value" in value else value
    if isinstance(value, list | tuple):
        return [mapped(part, change) for part in value]
    return change(value)


def plain(value: Any) -> Any:
    """Read a number that YAML took for text, such as ``1e-5``."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return {"true": True, "false": False}.get(value.lower(), value)


def flag(value: Any) -> bool:
    """Read a switch.

    Raises:
        ValueError: it is none.
    """
    if value in (True, False):
        return bool(value)
    raise ValueError(f"is {value!r}, not true or false")
