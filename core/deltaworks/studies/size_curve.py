"""How large a method's parts become over its size option, on a sample of the tensors."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from math import exp, log
from typing import TYPE_CHECKING, Any

from deltaworks.engine.compress_plan import CompressJob, ExpertJob, TensorTask, open_compress
from deltaworks.errors import OptionError
from deltaworks.methods import compression_method
from deltaworks.methods.compression_record import SizeOption, TensorPair
from deltaworks.methods.method import TensorSpec
from deltaworks.numerics.words import words_tensor
from deltaworks.options import read_options
from deltaworks.recipes.schema import CompressRecipe, Setting

if TYPE_CHECKING:
    from deltaworks.methods.compression_record import CompressionMethod
    from deltaworks.progress import JobControl

SAMPLE = 1 << 21
"""Weights of the sample, in whole tensors."""
_LEAST_TENSORS = 6
_LEAST = 1e-9
_CLOSE = 0.006
_ROUNDS = 12
_SAME = 1e-5
_FIRST_STRIDE = 0.04


class SizeCurve:
    """Sizes of a method's parts, found as they are asked for.

    Places are positions of the size option on a logarithmic scale, from 0, the largest
    files, to 1, the smallest ones.

    Args:
        recipe: with one setting, whose method has a size option.
        control: stops the work.
    """

    def __init__(self, recipe: CompressRecipe, control: JobControl) -> None:
        self._setting = recipe.settings[0]
        self.method: CompressionMethod = compression_method(self._setting.method)
        self.option = _size_option(self.method)
        self._control = control
        self._known: dict[float, float] = {}
        with ExitStack() as open_files:
            job = open_compress(recipe, open_files)
            self.n_weights = sum(task.info.n_elements for _, task in _treated(job))
            self._pairs = [
                pair for place in _chosen(job) if (pair := _pair(job, *place)).delta.any()
            ]
        self._n_sampled = sum(pair.delta.numel() for pair in self._pairs)
        if not self._n_sampled:
            raise OptionError("no tensor is compressed", fix="Choose --scope all, or no target.")

    @property
    def is_whole(self) -> bool:
        """Whether the sample is all there is."""
        return self._n_sampled == self.n_weights

    def setting(self, place: float) -> Setting:
        """Give the setting at a place."""
        option = self.option
        low, high = (max(each, _LEAST) for each in _ends(option))
        value = exp(log(low) + (log(high) - log(low)) * place)
        value = min(max(1.0 - value if option.of_rest else value, option.low), option.high)
        return Setting(method=self.method.id, options={**self._setting.options, option.name: value})

    def bits(self, place: float) -> float:
        """Give bits a weight of all parts."""
        if place not in self._known:
            where = f"method '{self.method.id}'"
            options = read_options(self.method.options, self.setting(place).options, where=where)
            bits = 8.0 * self._bytes(options) / self._n_sampled
            self._known[place] = max(bits, _LEAST)
        return self._known[place]

    def _bytes(self, options: Any) -> int:
        total = 0
        for pair in self._pairs:
            self._control.check()
            total += sum(part.nbytes for part in self.method.encode(pair, options).values())
        return total

    def place_of(self, bits: float) -> float:
        """Find the place of the largest files of at most these bits, nearly.

        Between two places the logarithm of the bits is nearly a line; halves are taken
        where that does not hold.
        """
        low, high = self._around(bits)
        for number in range(_ROUNDS):
            have = (self.bits(low), self.bits(high))
            if high - low < _SAME or have[1] > (1.0 - _CLOSE) * bits or have[0] <= bits:
                break
            middle = (low + high) / 2.0
            if number % 3 < 2 and have[1] > 0.0:
                share = log(have[0] / (bits * (1.0 - _CLOSE / 2))) / log(have[0] / have[1])
                middle = low + (high - low) * min(max(share, 0.02), 0.98)
            if self.bits(middle) > bits:
                low = middle
            else:
                high = middle
        return low if self.bits(low) <= bits else high

    def _around(self, bits: float) -> tuple[float, float]:
        """Find places with more bits and with fewer, going out from those that are known."""
        place = min(self._known, key=lambda one: abs(log(self._known[one] / bits)), default=0.5)
        step = _FIRST_STRIDE
        low = high = place
        while self.bits(low) <= bits and low > 0.0:
            high, low, step = low, max(0.0, low - step), 2 * step
        while self.bits(high) > bits and high < 1.0:
            low, high, step = high, min(1.0, high + step), 2 * step
        known = [one for one in self._known if low < one < high]
        low = max([one for one in known if self._known[one] > bits], default=low)
        return low, min([one for one in known if self._known[one] <= bits], default=high)


def _ends(option: SizeOption) -> tuple[float, float]:
    """Values, or what they leave of 1, at the largest and at the smallest files."""
    ends = (option.high, option.low) if option.grows else (option.low, option.high)
    return (1.0 - ends[0], 1.0 - ends[1]) if option.of_rest else ends


def _size_option(method: CompressionMethod) -> SizeOption:
    if method.size_option is None:
        raise OptionError(
            "has no option that settles its size",
            where=f"method '{method.id}'",
            fix="Choose rdc, which meets any size, or give no target.",
        )
    return method.size_option


def _treated(job: CompressJob) -> list[tuple[ExpertJob, TensorTask]]:
    return [(expert, task) for expert in job.experts for task in expert.tasks if task.is_treated]


def _chosen(job: CompressJob) -> list[tuple[ExpertJob, TensorTask]]:
    """Give every so manieth tensor, so that all depths and kinds are met."""
    treated = _treated(job)
    n_weights = sum(task.info.n_elements for _, task in treated)
    every = max(1, min(-(-n_weights // SAMPLE), len(treated) // _LEAST_TENSORS))
    return treated[every // 2 :: every]


def _pair(job: CompressJob, expert: ExpertJob, task: TensorTask) -> TensorPair:
    """Read a tensor as methods see it, with a copy that outlives the files."""
    name = task.info.name
    tuned = words_tensor(expert.checkpoint.read_words(name), task.info.dtype).float()
    base = None
    if task.base is not None:
        base = words_tensor(job.base.read_words(name), task.base.dtype).float()
    if task.is_transposed:
        tuned, base = tuned.mT.contiguous(), None if base is None else base.mT.contiguous()
    spec = TensorSpec(name, task.info.shape, job.recipe.seed)
    return TensorPair(replace(spec, shape=task.codec_shape), base, tuned.clone())
