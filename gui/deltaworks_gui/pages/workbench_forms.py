"""What each operation may be told beside its method, as options.

The forms, their bounds and their words are made from these.
"""

from __future__ import annotations

from typing import Literal

from deltaworks.options import Options, option
from deltaworks.recipes.schema import Numerics, Scope, Vocabulary

_SEED_MOST = 2**31 - 1
_DTYPES = {"same": "As the base", "BF16": "BF16", "F16": "F16", "F32": "F32"}


class CompressResult(Options):
    """What a compression may be told beside its method."""

    scope: Scope = option(
        "linear2d",
        title="Tensors",
        help="What a lossy method treats: matrices inside blocks, or every tensor of numbers. "
        "The rest is kept exactly.",
        labels={"linear2d": "Matrices in blocks", "all": "All tensors"},
    )
    calibrate: Literal["none", "bundled", "file"] = option(
        "none",
        title="Calibration",
        help="Texts that run through the expert, so that methods that can use it spend their bits "
        "where its layers' inputs are large.",
        labels={"none": "None", "bundled": "Bundled text", "file": "A file"},
    )
    text: str = option(
        "", title="Its file", help="A .txt or .jsonl of texts that the expert is used for.",
        is_file=True,
    )  # fmt: skip
    max_loss: float = option(
        0.02,
        ge=0.0,
        le=1.0,
        unit="fraction",
        title="Quality to spare",
        help="What the recommended point may lose of the expert's quality.",
        step=0.01,
    )
    seed: int = option(
        0, ge=0, le=_SEED_MOST, title="Seed", help="The same seed gives the same files."
    )
    memory_mb: int = option(
        256,
        ge=16,
        unit="MB",
        title="Read ahead",
        help="Memory for tensors that are read ahead or wait to be written.",
        step=64,
    )
    folder: str = option(
        "", title="Folder", help="Where new files go. Empty: the store.", is_path=True
    )


class MergeResult(Options):
    """What a merge may be told beside its method."""

    name: str = option(
        "", title="Name", help="Folder of the new model. Empty: made from its experts."
    )
    dtype: Literal["same", "BF16", "F16", "F32"] = option(
        "same", title="Number type", help="Type of the result's numbers.", labels=_DTYPES
    )
    numerics: Numerics = option(
        "app-fp32",
        title="Numerics",
        help="In float32 and rounded once, at the end; or at every step where mergekit rounds, "
        "so that its results come out bit for bit.",
        labels={"app-fp32": "One rounding", "mergekit-0.1.5": "As mergekit 0.1.5"},
        advanced=True,
    )
    vocabulary: Vocabulary = option(
        "align",
        title="Vocabularies",
        help="Where models have different tokens: match rows by their text, match them by number "
        "and fill up or cut, or refuse.",
        labels={
            "align": "Match tokens",
            "pad": "Fill up rows",
            "truncate": "Cut rows",
            "refuse": "Refuse to differ",
        },
        advanced=True,
    )
    chat_template: str = option(
        "",
        title="Chat template",
        help="auto takes the one most experts have; a known name such as chatml, or a template. "
        "Empty keeps the base's.",
        advanced=True,
    )
    shard_gb: float = option(
        5.0,
        gt=0.0,
        le=1000.0,
        unit="GB",
        title="Shard size",
        help="Larger models are split into files of this size.",
        step=1.0,
    )
    seed: int = option(
        0, ge=0, le=_SEED_MOST, title="Seed", help="The same seed gives the same files."
    )
    memory_mb: int = option(
        256,
        ge=16,
        unit="MB",
        title="Read ahead",
        help="Memory for tensors that are read ahead or wait to be written.",
        step=64,
    )
    folder: str = option(
        "", title="Folder", help="Where the new model goes. Empty: the store.", is_path=True
    )


class ExpertTexts(Options):
    """What an expert is told of its task, for methods that read texts."""

    texts: str = option(
        "",
        title="Texts",
        help="A .txt or .jsonl file of what this expert is good at. They run through it once.",
        is_file=True,
    )


class RepairTexts(Options):
    """Texts that repairs read."""

    safety: str = option(
        "",
        title="Prompts",
        help="What should be refused: a .jsonl, .csv or .txt, with refusals if you have them. Read "
        "where it lies and never shown.",
        is_file=True,
    )
    task: str = option(
        "", title="Task", help="What the fine-tune learned: .jsonl or .txt.",
        is_file=True,
    )  # fmt: skip
    harmful: str = option(
        "", title="Harmful texts", help="For methods that read them; most need none.",
        is_file=True, advanced=True,
    )  # fmt: skip
    samples: int = option(
        128, ge=1, title="Texts at most", help="More are slower and steadier.", advanced=True
    )
    tokens: int = option(
        512, ge=8, unit="tokens", title="Length at most", help="Of one text.", advanced=True
    )


class RepairResult(Options):
    """What a repair may be told beside its method."""

    target: float = option(
        0.95,
        ge=0.0,
        le=1.0,
        unit="fraction",
        title="Refusals wanted",
        help="The pick is the most useful model that refuses at least this share of the prompts.",
        step=0.01,
    )
    others: Literal["method", "aligned", "finetuned"] = option(
        "method",
        title="Other tensors",
        help="Where tensors come from that the method does not treat.",
        labels={
            "method": "As the method says",
            "aligned": "Aligned model",
            "finetuned": "Fine-tune",
        },
    )
    seed: int = option(
        0, ge=0, le=_SEED_MOST, title="Seed", help="The same seed gives the same files."
    )
    memory_mb: int = option(
        256,
        ge=16,
        unit="MB",
        title="Read ahead",
        help="Memory for tensors that are read ahead or wait to be written.",
        step=64,
    )
    folder: str = option(
        "", title="Folder", help="Where the new model goes. Empty: the store.", is_path=True
    )
