"""mergekit with a stable sort, to tell its choice among equal magnitudes from everything else.

Not measured; run once for the comparison of outputs. Takes mergekit-yaml's arguments.
"""

from __future__ import annotations

from typing import Any

import torch

_argsort = torch.argsort


def _stable(values: torch.Tensor, dim: int = -1, descending: bool = False, **_: Any) -> Any:
    return _argsort(values, dim=dim, descending=descending, stable=True)


torch.argsort = _stable  # type: ignore[assignment]

if __name__ == "__main__":
    from mergekit.scripts.run_yaml import main  # type: ignore[import-not-found]

    main()
