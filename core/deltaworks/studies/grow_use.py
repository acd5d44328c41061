"""A grown folder in use: images in, classes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deltaworks.checkpoints import content_hash, open_checkpoint
from deltaworks.checkpoints.head import HEAD_FOLDER, load_head
from deltaworks.errors import MismatchError
from deltaworks.inference.vision import open_backbone
from deltaworks.progress import JobControl, Progress, Warned
from deltaworks.studies.grow import BACKBONE

_BATCH = 32


def classify_images(
    folder: Path, images: Sequence[Path], control: JobControl
) -> list[dict[str, Any]]:
    """Name the class of each image.

    A backbone whose weights are not those that the head was made on is warned of.

    Args:
        folder: with ``backbone`` and ``head``, as a grow job leaves it.
        images: files.
        control: progress in images, Stop.

    Returns:
        For each image its path, class and score: a cosine, or the regression's output.

    Raises:
        FileError: something cannot be read.
        MismatchError: features are not as wide as the head's.
    """
    import torch

    head = load_head(folder / HEAD_FOLDER)
    with open_checkpoint(str(folder / BACKBONE)) as merged:
        content = content_hash(merged, control.silent())
    if content != head.backbone:
        text = "the head was made on a backbone of other weights; its answers may be wrong"
        control.report(Warned(text, str(folder / HEAD_FOLDER)))
    backbone = open_backbone(folder / BACKBONE)
    found = []
    for first in range(0, len(images), _BATCH):
        control.step(Progress(first, len(images), "classifying"))
        paths = list(images[first : first + _BATCH])
        with torch.inference_mode():
            features = backbone.features(backbone.pixels(paths)).numpy()
        try:
            scores = head.scores(features)
        except ValueError as error:
            what = f"features are {features.shape[1]} wide, which the head does not take"
            raise MismatchError(what, where=str(folder)) from error
        for path, row in zip(paths, scores, strict=True):
            best = int(row.argmax())
            found.append(
                {"path": str(path), "class": head.classes[best], "score": float(row[best])}
            )
    control.report(Progress(len(images), len(images), "classifying"))
    return found
