"""A job as a document: everything needed to make an artefact again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Scope = Literal["linear2d", "all"]
"""Which tensors a lossy method treats: block matrices only, or every floating tensor."""

Keep = Literal["best", "front", "all", "none"]


class Document(BaseModel):
    """A frozen part of a recipe that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)


class ModelRef(Document):
    """An input by path and, once known, by content."""

    path: str
    content: str = Field(
        default="", description="blake3 of all weight bytes; empty when not computed."
    )
    name: str = ""
    adapter: str = Field(
        default="", description="A LoRA adapter's folder that is laid over the model."
    )


class Setting(Document):
    """A method with its options; unset options take their defaults."""

    method: str
    options: dict[str, Any] = {}


class Calibration(Document):
    """Texts that run through a model so that a method sees its layers' inputs."""

    text: str = Field(
        default="",
        description="A .txt or .jsonl file; without one, methods take their data-free form.",
    )
    samples: int = Field(default=128, ge=1, description="Sequences at most.")
    tokens: int = Field(default=512, ge=8, description="Tokens of a sequence at most.")


class Target(Document):
    """What a compression is to reach; the method's option for size is searched for it."""

    kind: Literal["bits", "size", "recovered"] = Field(
        description="Bits a weight of the compressed tensors; bytes of all files together; or "
        "the recovered fraction of what the experts have learnt, measured."
    )
    value: float = Field(gt=0.0)
    evaluation: str = Field(
        default="", description="For a recovered fraction: a folder with suite.json, or texts."
    )


class Common(Document):
    """What every recipe may say about how it runs. None of it changes the result but the seed."""

    version: Literal[1] = 1
    seed: int = 0
    device: str = "cpu"
    memory_bytes: int = Field(default=256_000_000, ge=16_000_000)
    threads: int = Field(default=0, ge=0, description="Worker threads; 0 means one a core.")
    note: str = ""


class CompressRecipe(Common):
    """Base and experts in, one delta file out for each expert and setting."""

    kind: Literal["compress"] = "compress"
    base: ModelRef
    experts: tuple[ModelRef, ...] = Field(min_length=1)
    settings: tuple[Setting, ...] = Field(min_length=1)
    scope: Scope = "linear2d"
    calibration: Calibration = Calibration()
    target: Target | None = None
    output: str = Field(description="A folder; or, for one expert and one setting, a file.")


class SweepRecipe(Common):
    """Compress with several settings, measure each, keep the good ones."""

    kind: Literal["sweep"] = "sweep"
    base: ModelRef
    experts: tuple[ModelRef, ...] = Field(min_length=1)
    settings: tuple[Setting, ...] = Field(min_length=1)
    scope: Scope = "linear2d"
    calibration: Calibration = Calibration()
    evaluation: str = Field(
        default="", description="Folder with a suite.json; empty: weights only."
    )
    keep: Keep = "front"
    max_loss: float = Field(
        default=0.02,
        ge=0.0,
        le=1.0,
        description="Quality the recommended point may lose, a fraction.",
    )
    output: str
    title: str = ""


class MergeInput(Document):
    """One expert of a merge with its own options (weight, density…).

    Each value may be a list, a gradient over the layers, or a list of ``{filter, value}``:
    see ``recipes.resolving``. So may the values of slices, modules and the whole merge.
    """

    model: ModelRef
    options: dict[str, Any] = {}
    texts: str = Field(
        default="", description="A .txt or .jsonl file of its task, for methods that need one."
    )


class SliceSource(Document):
    """Layers of one model that go into a slice."""

    model: int = Field(ge=-1, description="Place among the experts; -1 is the base.")
    layers: tuple[int, int] | None = Field(
        default=None, description="From and to, the last one not included; none takes all."
    )
    options: dict[str, Any] = {}


class MergeSlice(Document):
    """Consecutive layers of the result, and where they come from."""

    sources: tuple[SliceSource, ...] = Field(min_length=1)
    base: int | None = Field(
        default=None, ge=-1, description="The model that is the base here; none: the merge's."
    )
    options: dict[str, Any] = {}


class MergeModule(Document):
    """A part of a model with several, such as its text decoder, merged in its own way."""

    name: str
    slices: tuple[MergeSlice, ...] = Field(min_length=1)
    options: dict[str, Any] = {}


class TokenRule(Document):
    """Where the row of one token comes from.

    ``kind`` default leaves it to the rules; model takes the row of the same token of a
    model; token that of another token, by its text or its number; zero has no length.
    """

    kind: Literal["default", "model", "token", "zero"] = "default"
    model: int = Field(default=-1, ge=-1)
    token: str = ""
    token_id: int | None = None
    force: bool = Field(default=False, description="Also where a model has the token itself.")


class TokenizerRule(Document):
    """Which tokens the result has, and where their rows come from."""

    source: Literal["union", "base", "model"] = "union"
    model: int = Field(default=-1, ge=-1, description="Whose tokens, when source is model.")
    tokens: dict[str, TokenRule] = {}
    pad_to_multiple_of: int = Field(default=0, ge=0)


Vocabulary = Literal["refuse", "align", "pad", "truncate"]
"""What happens to models of different vocabularies without a tokenizer rule."""


Numerics = Literal["app-fp32", "mergekit-0.1.5"]
"""Where a merge rounds: once at the end, or at every step where mergekit does."""


class MergeRecipe(Common):
    """Experts, and mostly a base, in; one full model out."""

    kind: Literal["merge"] = "merge"
    base: ModelRef | None = None
    experts: tuple[MergeInput, ...] = Field(min_length=1)
    setting: Setting
    pre: Setting | None = Field(
        default=None,
        description="A compression method that makes every expert's change sparse first.",
    )
    calibration: Calibration = Calibration()
    slices: tuple[MergeSlice, ...] = Field(
        default=(), description="The result's layers from the first on; empty: all of every model."
    )
    modules: tuple[MergeModule, ...] = ()
    tokenizer: TokenizerRule | None = None
    vocabulary: Vocabulary = "align"
    chat_template: str = Field(
        default="", description="auto, a known name, or a template; empty keeps the base's."
    )
    dtype: str = Field(
        default="", description="Inputs are rounded to it first; empty takes them as stored."
    )
    numerics: Numerics = Field(
        default="app-fp32",
        description="app-fp32 rounds once, at the end; mergekit-0.1.5 where mergekit rounds.",
    )
    out_dtype: str = Field(
        default="", description="Safetensors dtype name; empty keeps the base's."
    )
    shard_bytes: int = Field(default=5_000_000_000, ge=1_000)
    output: str


Others = Literal["method", "aligned", "finetuned"]
"""Where tensors come from that a repair does not treat; ``method`` leaves it to the method."""

Save = Literal["auto", "dense", "adapter"]
"""How a repaired adapter is saved: ``auto`` keeps it one where the method works on its factors."""


class RepairSources(Common):
    """What every repair reads: models, texts, and where statistics of them are kept."""

    aligned: ModelRef = Field(description="The model that still refuses.")
    tuned: ModelRef = Field(description="Its fine-tune; a full model or an adapter.")
    unaligned: ModelRef | None = Field(
        default=None, description="The aligned model, tuned until it no longer refuses."
    )
    pretrained: ModelRef | None = Field(default=None, description="The model before its alignment.")
    sibling: ModelRef | None = Field(
        default=None, description="Another fine-tune of the aligned model, tuned to be safe."
    )
    safety: str = Field(
        default="",
        description="Prompts to refuse, with refusals or without: .jsonl, .csv or .txt.",
    )
    task: str = Field(default="", description="Texts of the fine-tune's task: .jsonl or .txt.")
    harmful: str = Field(default="", description="Harmful texts, for methods that read them.")
    samples: int = Field(default=128, ge=1, description="Sequences of a text at most.")
    tokens: int = Field(default=512, ge=8, description="Tokens of a sequence at most.")
    other_tensors: Others = "method"
    cache: str = Field(
        default="", description="Folder where statistics of texts are kept; empty keeps none."
    )


class RepairRecipe(RepairSources):
    """An aligned model and its fine-tune in, one repaired model out."""

    kind: Literal["repair"] = "repair"
    setting: Setting
    save: Save = "auto"
    rank: int = Field(
        default=0, ge=0, description="Of an adapter made from a dense repair; 0 takes its own."
    )
    out_dtype: str = Field(
        default="", description="Safetensors dtype name; empty keeps the fine-tune's."
    )
    shard_bytes: int = Field(default=5_000_000_000, ge=1_000)
    output: str


class RepairSweepRecipe(RepairSources):
    """Repair with several settings, measure refusals and skill of each, keep the good ones."""

    kind: Literal["repair-sweep"] = "repair-sweep"
    settings: tuple[Setting, ...] = Field(min_length=1)
    evaluation: str = Field(
        default="", description="Folder with a suite.json; empty: shares of weights and damage."
    )
    should_refuse: str = Field(default="", description="Prompts in place of the suite's.")
    should_answer: str = Field(default="", description="Prompts in place of the suite's.")
    phrases: str = Field(default="", description="Refusal phrases in place of the suite's.")
    target: float = Field(
        default=0.95,
        ge=0.0,
        le=1.0,
        description="Refusal rate that the chosen point must reach, a fraction.",
    )
    keep: Keep = "best"
    output: str
    title: str = ""


class MergeSetting(Setting):
    """A merging method with its options, and those that every expert gets."""

    each: dict[str, Any] = {}
    pre: Setting | None = None


class CoefficientSearch(Document):
    """Tries coefficients of merging methods on items that do not count later."""

    methods: tuple[str, ...] = Field(default=(), description="Ids; empty takes the best one.")
    trials: int = Field(default=24, ge=4, le=10_000, description="Merges to try for each method.")


class ComparisonRecipe(Common):
    """Compress experts by every method at equal bits, and measure what is left."""

    kind: Literal["compare-methods"] = "compare-methods"
    base: ModelRef
    experts: tuple[ModelRef, ...] = Field(min_length=1)
    methods: tuple[str, ...] = Field(
        default=(), description="Ids; empty: every lossy method whose needs are met."
    )
    bits: tuple[float, ...] = Field(
        default=(4.0, 2.0, 1.0, 0.5, 0.25),
        min_length=1,
        description="Budgets: bits a weight of the compressed tensors, all that is stored counted.",
    )
    scope: Scope = "linear2d"
    calibration: Calibration = Calibration()
    evaluation: str = Field(
        default="", description="Folder with a suite.json; empty: weights only."
    )
    output: str


class ContestRecipe(Common):
    """Merge the same experts by many methods, measure every result, name the best."""

    kind: Literal["compare-merges"] = "compare-merges"
    base: ModelRef
    experts: tuple[MergeInput, ...] = Field(min_length=2)
    settings: tuple[MergeSetting, ...] = Field(
        default=(), description="Empty: every method whose needs are met, at the usual settings."
    )
    evaluation: str = Field(
        default="", description="Folder with a suite.json; empty: weights only."
    )
    search: CoefficientSearch | None = None
    calibration: Calibration = Calibration()
    keep: Literal["best", "all", "none"] = "best"
    disk_bytes: int = Field(
        default=100_000_000_000, ge=1_000_000, description="Most bytes of merged models at once."
    )
    output: str
    title: str = ""


class ChannelMergeRecipe(Common):
    """Several experts in one package that can give each of them back, nearly or exactly."""

    kind: Literal["channel-merge"] = "channel-merge"
    base: ModelRef
    experts: tuple[ModelRef, ...] = Field(min_length=1, max_length=64)
    options: dict[str, Any] = {}
    store: Literal["weights", "deltas"] = Field(
        default="weights", description="What groups hold; changes need the base to be read."
    )
    output: str


class FuseInput(Document):
    """One multimodal model of a fusion."""

    model: ModelRef
    weight: float | None = Field(
        default=None, description="Of its language model in the merge; none: one Nth of all."
    )


class FuseRecipe(Common):
    """A base language model and multimodal models of it in, one model with all their towers out."""

    kind: Literal["fuse"] = "fuse"
    base: ModelRef
    models: tuple[FuseInput, ...] = Field(min_length=2, max_length=16)
    setting: Setting = Field(
        default=Setting(method="task-arithmetic"),
        description="How the language models are merged.",
    )
    options: dict[str, Any] = Field(default={}, description="Of the fusion: see visionfuse.")
    out_dtype: str = Field(
        default="", description="Of the language model; empty keeps the base's. Towers keep theirs."
    )
    shard_bytes: int = Field(default=5_000_000_000, ge=1_000)
    output: str


class GrowTask(Document):
    """One task of a stream: a folder of class folders, a finished fine-tune, or both."""

    name: str = Field(default="", description="Empty takes the name of the folder.")
    data: str = Field(
        default="", description="A folder whose subfolders are classes and hold images."
    )
    model: ModelRef | None = Field(
        default=None, description="A fine-tune of the base; then nothing is trained for this task."
    )


class GrowTraining(Document):
    """How the backbone is tuned on each task."""

    epochs: int = Field(default=5, ge=1, le=10_000)
    rate: float = Field(default=3e-5, gt=0.0, le=1.0, description="Highest learning rate.")
    batch: int = Field(default=32, ge=1, le=65_536, description="Images of a step.")
    decay: Literal["constant", "linear", "cosine"] = "cosine"
    weight_decay: float = Field(default=0.01, ge=0.0)
    clip: float = Field(default=1.0, ge=0.0, description="Largest norm of gradients; 0 leaves it.")
    save_every: int = Field(default=50, ge=0, description="Steps between saved states.")


class GrowRecipe(Common):
    """One vision backbone and a stream of tasks in, one backbone for all of them out."""

    kind: Literal["grow"] = "grow"
    base: ModelRef
    tasks: tuple[GrowTask, ...] = Field(min_length=1, max_length=1000)
    test: str = Field(description="A folder of class folders; its images are only measured on.")
    setting: Setting = Setting(method="sotu")
    training: GrowTraining = GrowTraining()
    baselines: Literal["all", "untrained", "none"] = Field(
        default="all", description="untrained leaves sequential and joint training out."
    )
    drop_rates: tuple[Annotated[float, Field(ge=0.0, le=1.0)], ...] = Field(
        default=(), description="Further drop rates to measure beside the one that is kept."
    )
    output: str


class RebuildRecipe(Common):
    """Base and delta file in, full model out."""

    kind: Literal["rebuild"] = "rebuild"
    delta: ModelRef
    base: ModelRef | None = None
    output: str


class ExtractRecipe(Common):
    """Base and fine-tune in, a PEFT LoRA adapter out."""

    kind: Literal["extract"] = "extract"
    base: ModelRef
    expert: ModelRef
    rank: int = Field(default=128, ge=1, description="Of every layer at most.")
    energy: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Share of each change to keep; 0 takes the rank."
    )
    output: str


Arm = Literal["gaussian", "pissa", "pissa-left", "random-same-norm"]
"""A control that is trained beside a transfer, from another start."""

Similarity = Literal["weights", "full", "only"]
"""Cosines of starts and weights; activations of both models as well; or these and nothing else."""


class TransferRecipe(Common):
    """Parameters of a larger model into a smaller one of its family, beside controls."""

    kind: Literal["transfer"] = "transfer"
    source: ModelRef = Field(description="The larger model.")
    target: ModelRef = Field(description="The smaller model; it is not written to.")
    setting: Setting = Setting(method="seeking")
    seed_data: str = Field(
        default="", description="Texts of the task, .jsonl: what the source is sensitive to."
    )
    training: str = Field(default="", description="Texts of the task to train on.")
    held_out: str = Field(default="", description="Texts of the task to measure on.")
    control_data: str = Field(
        default="", description="Texts of another task, measured before and after."
    )
    seed_samples: int = Field(default=32, ge=1, description="Texts for the sensitivities at most.")
    samples: int = Field(default=1000, ge=1, description="Texts of every other set at most.")
    tokens: int = Field(default=2048, ge=2, description="Tokens of a text at most.")
    arms: tuple[Arm, ...] = Field(
        default=("gaussian", "pissa", "random-same-norm"),
        description="Controls, trained on the same batches.",
    )
    steps: int = Field(default=48, ge=1)
    rate: float = Field(default=3e-4, gt=0.0, le=1.0, description="Highest learning rate.")
    warmup: float = Field(default=0.03, ge=0.0, lt=1.0)
    decay: Literal["constant", "linear", "cosine"] = "linear"
    batch: int = Field(default=8, ge=1, description="Texts that run together.")
    accumulate: int = Field(default=8, ge=1, description="Batches of one step.")
    measure_every: int = Field(default=12, ge=0, description="Steps; 0 measures at the end only.")
    save_every: int = Field(default=12, ge=0, description="Steps between states to resume from.")
    similarity: Similarity = "weights"
    merged: bool = Field(default=True, description="Write the transferred model whole, too.")
    shard_bytes: int = Field(default=5_000_000_000, ge=1_000)
    output: str


class EvaluateRecipe(Common):
    """Measure a model, alone or against the expert it stands for."""

    kind: Literal["evaluate"] = "evaluate"
    model: ModelRef
    base: ModelRef | None = None
    reference: ModelRef | None = None
    evaluation: str = ""


class GenerateRecipe(Common):
    """Let a model go on from a prompt. The model stays in the engine's memory afterwards."""

    kind: Literal["generate"] = "generate"
    model: ModelRef
    base: ModelRef | None = Field(default=None, description="Of a delta file or an adapter.")
    prompt: str = Field(min_length=1)
    image: str = Field(default="", description="A picture's file, for models that see.")
    max_tokens: int = Field(default=128, ge=1, le=100_000)
    temperature: float = Field(default=0.0, ge=0.0, le=10.0)
    is_chat: bool = Field(
        default=True, description="Wrap it in the chat template, if there is one."
    )


Recipe = Annotated[
    CompressRecipe
    | SweepRecipe
    | MergeRecipe
    | RepairRecipe
    | RepairSweepRecipe
    | RebuildRecipe
    | ExtractRecipe
    | TransferRecipe
    | EvaluateRecipe
    | ComparisonRecipe
    | ContestRecipe
    | ChannelMergeRecipe
    | FuseRecipe
    | GrowRecipe
    | GenerateRecipe,
    Field(discriminator="kind"),
]
