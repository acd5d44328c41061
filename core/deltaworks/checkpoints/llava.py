"""LLaVA-style checkpoints: their three parts, however a version of transformers named them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from deltaworks.checkpoints.checkpoint import Checkpoint
from deltaworks.checkpoints.documents import read_object
from deltaworks.checkpoints.renamed import RenamedCheckpoint
from deltaworks.errors import MismatchError

LLM, PROJECTOR, VISION = "llm.", "projector.", "vision."
FUSED = "visionfuse_llava"
"""``model_type`` of a fused model."""
SEEING = frozenset({"llava", FUSED})
"""Model types that answer on pictures, and on texts alone."""
FUSED_CLASS = "VisionFuseForConditionalGeneration"
LANGUAGE = "language_model."
"""What the language model's tensors begin with in a fused model."""

_HUB = (
    ("language_model.model.", "llm.model."),
    ("language_model.lm_head.", "llm.lm_head."),
    ("model.language_model.", "llm.model."),
    ("lm_head.", "llm.lm_head."),
    ("multi_modal_projector.", PROJECTOR),
    ("model.multi_modal_projector.", PROJECTOR),
    ("vision_tower.vision_model.", VISION),
    ("vision_tower.", VISION),
    ("model.vision_tower.vision_model.", VISION),
    ("model.vision_tower.", VISION),
)
"""As transformers writes them, 4.x and 5.x, and as some versions had them in memory."""
_ORIGINAL = (
    ("model.mm_projector.0.", "projector.linear_1."),
    ("model.mm_projector.2.", "projector.linear_2."),
    ("model.vision_tower.vision_tower.vision_model.", VISION),
    ("model.vision_tower.", VISION),
    ("lm_head.", "llm.lm_head."),
    ("model.embed_tokens.", "llm.model.embed_tokens."),
    ("model.layers.", "llm.model.layers."),
    ("model.norm.", "llm.model.norm."),
)
"""As the authors of LLaVA wrote them."""
_TOWERS = {"clip_vision_model": 1, "siglip_vision_model": 0}
"""Vision towers that we can run, to the tokens that they put before the patches."""
_SHOWN = 5


def canonical_names(names: Iterable[str], *, where: str = "") -> dict[str, str]:
    """Sort a checkpoint's tensors into ``llm.``, ``projector.`` and ``vision.``.

    Args:
        names: all tensors as stored.
        where: what the message names.

    Returns:
        Canonical names to stored ones, in the order given.

    Raises:
        MismatchError: names that belong to no part, or two that mean the same.
    """
    listed = tuple(names)
    is_original = any(name.startswith("model.mm_projector.") for name in listed)
    rules = _ORIGINAL if is_original else _HUB
    found: dict[str, str] = {}
    left: list[str] = []
    for name in listed:
        new = _rewritten(name, rules)
        if not new or new in found:
            left.append(name)
        else:
            found[new] = name
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        what = f"tensors of no known part of a LLaVA model: {', '.join(left[:_SHOWN])}{more}"
        raise MismatchError(what, where=where, fix="Only plain LLaVA models can be read.")
    return found


def _rewritten(name: str, rules: Iterable[tuple[str, str]]) -> str:
    for prefix, new in rules:
        if name.startswith(prefix):
            return new + name.removeprefix(prefix)
    return ""


@dataclass(frozen=True)
class LlavaParts:
    """A LLaVA checkpoint, taken apart without reading a number.

    Args:
        model: open.
        stored: canonical names to stored ones.
        text: config of the language model; older files leave defaults out.
        tower: what a fused model's config says of tower and projector.
        image_token: id that stands for a picture in a prompt.
    """

    model: Checkpoint
    stored: Mapping[str, str]
    text: Mapping[str, Any]
    tower: Mapping[str, Any]
    image_token: int

    def part(self, prefix: str, new: str = "") -> dict[str, str]:
        """Give one part's names, with another beginning, to stored ones."""
        return {
            new + name.removeprefix(prefix): stored
            for name, stored in self.stored.items()
            if name.startswith(prefix)
        }

    def count(self, prefix: str) -> int:
        """Count the numbers of one part."""
        return sum(self.model.info(name).n_elements for name in self.part(prefix).values())


def llava_parts(model: Checkpoint) -> LlavaParts:
    """Take a LLaVA checkpoint apart.

    Raises:
        MismatchError: it is of another kind, or its tower is one that we cannot run.
    """
    config, where = model.config, str(model.path)
    kind = str(config.get("model_type") or "")
    if config.get("mm_vision_tower"):
        raise MismatchError(
            f"is in LLaVA's original form, with the tower {config['mm_vision_tower']} elsewhere",
            where=where,
            fix="Convert it to the form of transformers (llava-hf) first.",
        )
    if kind != "llava" or not isinstance(config.get("vision_config"), Mapping):
        raise MismatchError(
            f"unsupported: model type {kind!r} is no plain LLaVA model",
            where=where,
            fix="Models with tiles or patches of their own need an adapter that is not there yet.",
        )
    stored = canonical_names(model.names, where=where)
    for prefix, what in ((LLM, "language model"), (PROJECTOR, "projector"), (VISION, "tower")):
        if not any(name.startswith(prefix) for name in stored):
            raise MismatchError(f"holds no {what}", where=where, fix="Download it again.")
    tower = _tower(model, stored)
    token = config.get("image_token_index", config.get("image_token_id", 32000))
    return LlavaParts(model, stored, dict(config.get("text_config") or {}), tower, int(token))


def _tower(model: Checkpoint, stored: Mapping[str, str]) -> dict[str, Any]:
    """Describe tower and projector; shapes come from the tensors, not from defaults."""
    config, where = model.config, str(model.path)
    names = {kind: stored.get(f"{PROJECTOR}{kind}.weight") for kind in ("linear_1", "linear_2")}
    missing = [f"{PROJECTOR}{kind}.weight" for kind, name in names.items() if name is None]
    if missing:
        raise MismatchError(f"has no {missing[0]}", where=where, fix="Download it again.")
    hidden, inputs = model.info(str(names["linear_1"])).shape
    outputs = model.info(str(names["linear_2"])).shape[0]
    vision = dict(config["vision_config"])
    strategy = str(config.get("vision_feature_select_strategy", "default"))
    return {
        "vision_config": vision,
        "projector": {
            "in": inputs,
            "hidden": hidden,
            "out": outputs,
            "act": config.get("projector_hidden_act", "gelu"),
            "bias": f"{PROJECTOR}linear_1.bias" in stored,
            "feature_layer": config.get("vision_feature_layer", -2),
            "select_strategy": strategy,
        },
        "image_seq_length": tower_tokens(vision, strategy, where=where),
    }


def tower_patches(vision: Mapping[str, Any], *, where: str = "") -> int:
    """Count the patches that a tower cuts a picture into.

    Raises:
        MismatchError: a tower that we cannot run, or whose config lacks its sizes.
    """
    kind = str(vision.get("model_type") or "")
    if kind not in _TOWERS:
        known = ", ".join(_TOWERS)
        raise MismatchError(f"unsupported: vision tower {kind!r} (known: {known})", where=where)
    size, patch = vision.get("image_size", 224), vision.get("patch_size", 32)
    if not isinstance(size, int) or not isinstance(patch, int) or not 0 < patch <= size:
        raise MismatchError(f"image_size {size!r}, patch_size {patch!r}", where=where)
    return (size // patch) ** 2


def tower_tokens(vision: Mapping[str, Any], strategy: str, *, where: str = "") -> int:
    """Count the tokens of one picture: patches and class token, less what is left out.

    Raises:
        MismatchError: a tower that we cannot run, or an unknown strategy.
    """
    if strategy not in {"default", "full"}:
        raise MismatchError(
            f"unsupported: vision_feature_select_strategy {strategy!r}", where=where
        )
    patches = tower_patches(vision, where=where)
    return patches + _TOWERS[str(vision["model_type"])] - (strategy == "default")


def as_fused(model: Checkpoint) -> Checkpoint:
    """See a plain LLaVA model as a fused one of a single tower; give any other as it is.

    Raises:
        MismatchError: a LLaVA model that cannot be taken apart.
    """
    if model.config.get("model_type") != "llava":
        return model
    parts = llava_parts(model)
    names = {
        **parts.part(LLM, LANGUAGE),
        **parts.part(VISION, "towers.main.vision."),
        **parts.part(PROJECTOR, "towers.main.projector."),
    }
    return RenamedCheckpoint(model, names, fused_config(parts.text, (("main", parts),), model))


def fused_config(
    text: Mapping[str, Any], towers: Iterable[tuple[str, LlavaParts]], leader: Checkpoint
) -> dict[str, Any]:
    """Write the config of a fused model.

    Args:
        text: of the language model.
        towers: ids and parts, in the order of their tokens.
        leader: whose image token and dtype hold.
    """
    listed = [{"id": name, **parts.tower} for name, parts in towers]
    config = leader.config
    return {
        "architectures": [FUSED_CLASS],
        "model_type": FUSED,
        "text_config": dict(text),
        "towers": listed,
        "token_order": [tower["id"] for tower in listed],
        "pruning": None,
        "image_token_index": config.get("image_token_index", config.get("image_token_id", 32000)),
        "tie_word_embeddings": bool(
            text.get("tie_word_embeddings", config.get("tie_word_embeddings", False))
        ),
    }


def image_settings(model: Checkpoint) -> dict[str, Any] | None:
    """Read what a model's image processor does; None where nothing says it.

    Raises:
        FileError: the file is damaged.
    """
    own = model.side_files.get("preprocessor_config.json")
    if own is not None:
        return read_object(own)
    joint = model.side_files.get("processor_config.json")
    found = read_object(joint).get("image_processor") if joint is not None else None
    return dict(found) if isinstance(found, Mapping) else None
