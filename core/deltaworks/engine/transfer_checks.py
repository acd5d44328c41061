"""Whether parameters of one model can go into another: the first difference, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deltaworks.checkpoints import roles_of
from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.checkpoints.vocabulary import Vocabulary, read_vocabulary
from deltaworks.engine.transfer_types import Place
from deltaworks.errors import MismatchError, OptionError

_FAMILY = ("model_type", "architectures", "hidden_act")
Layers = dict[tuple[int, str], TensorInfo]


def check_family(source: Checkpoint, target: Checkpoint) -> None:
    """Refuse models of two families, of two tokenizers, or a model as its own source.

    Raises:
        MismatchError: naming the first difference.
    """
    if source.path.resolve() == target.path.resolve():
        raise _refusal(source, "is source and target at once")
    for key in _FAMILY:
        ours, theirs = source.config.get(key), target.config.get(key)
        if ours != theirs:
            raise _refusal(source, f"{key} is {ours!r} here, {theirs!r} in the target")
    ours, theirs = read_vocabulary(source), read_vocabulary(target)
    if ours is None or theirs is None:
        missing = source if ours is None else target
        raise MismatchError(
            "has no tokenizer.json, so that tokens cannot be compared",
            where=str(missing.path),
            fix="Put the tokenizer beside the weights.",
        )
    if difference := _first_difference(ours, theirs):
        raise _refusal(source, f"another tokenizer: {difference}")


def _first_difference(source: Vocabulary, target: Vocabulary) -> str:
    names = sorted({*source.ids, *target.ids} - {n for n in source.ids if n in target.ids})
    for name, number in source.ids.items():
        if name in target.ids and target.ids[name] != number:
            return f"token {name!r:.60} is number {number} here, {target.ids[name]} in the target"
    if not names:
        return ""
    place = "here only" if names[0] in source.ids else "in the target only"
    return f"token {names[0]!r:.60} is {place}"


def layers_of(model: Checkpoint) -> Layers:
    """Find the matrices of all layers: by number of the layer and name inside it."""
    infos = [model.info(name) for name in model.names]
    found: Layers = {}
    for name, role in roles_of(infos, model.config).items():
        info = model.info(name)
        is_matrix = len(info.shape) == 2 and info.is_floating and name.endswith(".weight")
        if role.role == "linear" and role.block is not None and is_matrix:
            if role.is_transposed:
                raise MismatchError(
                    "is stored (in, out), which a transfer does not read",
                    where=name,
                    fix="Use models with plain linear layers, such as Llama or Qwen.",
                )
            found[role.block, role.layer] = info
    return found


def check_layers(source: Checkpoint, target: Checkpoint) -> tuple[Layers, Layers]:
    """Refuse a source that is shallower, smaller, or built of other layers.

    Raises:
        MismatchError: naming the first difference.
    """
    theirs, ours = layers_of(source), layers_of(target)
    depths = [len({block for block, _ in one}) for one in (theirs, ours)]
    if depths[0] < depths[1] or not depths[1]:
        what = f"has {depths[0]} layers, the target {depths[1]}"
        raise _refusal(source, what, "The source must be the larger model.")
    for block, layer in ours:
        wanted = ours[block, layer].shape
        for number in range(depths[0]):
            found = theirs.get((number, layer))
            if found is None:
                raise _refusal(source, f"layer {number} has no {layer}, which the target has")
            if found.shape[0] < wanted[0] or found.shape[1] < wanted[1]:
                sizes = [f"{one[0]} x {one[1]}" for one in (found.shape, wanted)]
                what = f"{found.name} is {sizes[0]}, smaller than {sizes[1]} in the target"
                raise _refusal(source, what, "The source must be the larger model.")
    return theirs, ours


def places_of(layers: Layers, options: Any) -> tuple[Place, ...]:
    """Choose the matrices of the target that are transferred into.

    Raises:
        OptionError: none is left.
    """
    kinds: Mapping[bool, bool] = {True: options.attention, False: options.ffn}
    found = tuple(
        Place(info, block, layer)
        for (block, layer), info in layers.items()
        if kinds["attn" in layer or "attention" in layer]
    )
    if not found:
        raise OptionError("neither attention nor feed-forward is chosen", fix="Choose at least one")
    return found


def _refusal(source: Checkpoint, what: str, fix: str = "") -> MismatchError:
    fix = fix or "Choose two models of one family, trained with one tokenizer."
    return MismatchError(what, where=str(source.path), fix=fix)
