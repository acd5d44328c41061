"""What a continual method is: how a task's change is thinned, and how changes are added up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from deltaworks.methods.method import Method, TensorSpec

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ContinualMethod(Method):
    """A method that merges changes of streaming tasks into one backbone.

    Args:
        thin: a task's change, spec, number of the task and options to the values that are
            kept, one after the other, float32.
        widen: kept values, spec, number of the task and options to the change as it is
            added, float32 of ``spec.shape``.
        merge: base, kept values by number of the task, spec and options to the merged tensor.
    """

    thin: Callable[[Floats, TensorSpec, int, Any], Floats] = field(kw_only=True)
    widen: Callable[[Floats, TensorSpec, int, Any], Floats] = field(kw_only=True)
    merge: Callable[[Floats, Mapping[int, Floats], TensorSpec, Any], Floats] = field(kw_only=True)
