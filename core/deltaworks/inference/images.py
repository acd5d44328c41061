"""Images of a folder whose subfolders are classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deltaworks.errors import FileError

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
_MOST_PIXELS = 100_000_000


@dataclass(frozen=True)
class ImageFolder:
    """Images and the names of their classes.

    Args:
        folder: whose subfolders are the classes.
        classes: their names, in order.
        paths: of all images, class by class, each by name.
        names: the class of each.
    """

    folder: Path
    classes: tuple[str, ...]
    paths: tuple[Path, ...]
    names: tuple[str, ...]


def list_images(folder: Path) -> ImageFolder:
    """List a folder of class folders; nothing is read yet.

    Raises:
        FileError: there is no such folder, no class in it, or a class without images.
    """
    try:
        classes = sorted(
            one.name for one in folder.iterdir() if one.is_dir() and not one.name.startswith(".")
        )
        found = {name: _images(folder / name) for name in classes}
    except OSError as error:
        raise FileError(error.strerror or str(error), where=str(folder)) from error
    if not classes:
        fix = "Put the images of each class into a folder of its name."
        raise FileError("holds no folders of classes", where=str(folder), fix=fix)
    for name, images in found.items():
        if not images:
            known = ", ".join(sorted(SUFFIXES))
            raise FileError(f"holds no images ({known})", where=str(folder / name))
    paths = tuple(path for name in classes for path in found[name])
    names = tuple(name for name in classes for _ in found[name])
    return ImageFolder(folder, tuple(classes), paths, names)


def _images(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.suffix.lower() in SUFFIXES)


def read_image(path: Path) -> Image:
    """Decode one image to RGB.

    Raises:
        FileError: it is no image, or a very large one.
    """
    from PIL import Image as Images

    try:
        with Images.open(path) as image:
            if image.width * image.height > _MOST_PIXELS:
                what = f"has {image.width} by {image.height} pixels"
                raise FileError(what, where=str(path), fix="Make it smaller.")
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Images.DecompressionBombError) as error:
        raise FileError(f"cannot be read as an image ({error})", where=str(path)) from error
