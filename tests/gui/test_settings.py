"""What is remembered, and by which type."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QByteArray

from deltaworks_gui.settings import VERSION, Settings


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.ini"


def test_values_come_back_with_their_types(path: Path, qapp: object) -> None:
    first = Settings(path)
    first.set("a/text", "ü, with = signs")
    first.set("a/flag", True)
    first.set("a/large", 3_000_000_000)
    first.set("a/real", 0.1)
    first.set("a/list", ["one", "two"])
    first.set("a/blob", QByteArray(b"\x00\xff"))
    first.save()

    again = Settings(path)
    assert again.text("a/text") == "ü, with = signs"
    assert again.flag("a/flag") is True
    assert again.number("a/large") == 3_000_000_000
    assert again.real("a/real") == 0.1
    assert again.texts("a/list") == ["one", "two"]
    assert again.blob("a/blob") == QByteArray(b"\x00\xff")


def test_what_was_never_set_is_its_default(path: Path, qapp: object) -> None:
    settings = Settings(path)

    assert settings.text("x") == ""
    assert settings.flag("x", True) is True
    assert settings.number("x", 7) == 7
    assert settings.texts("x") == []
    assert settings.blob("x").isEmpty()


def test_a_wrong_number_in_the_file_is_the_default(path: Path, qapp: object) -> None:
    path.write_text("[a]\nn=many\n")

    assert Settings(path).number("a/n", 5) == 5


def test_a_file_of_a_newer_version_is_not_written_to(path: Path, qapp: object) -> None:
    path.write_text(f"[General]\nversion={VERSION + 1}\nkept=yes\n")
    before = path.read_bytes()

    settings = Settings(path)
    settings.set("a", "b")
    settings.save()

    assert settings.is_read_only
    assert path.read_bytes() == before


def test_only_a_change_is_told(path: Path, qapp: object) -> None:
    settings = Settings(path)
    heard: list[object] = []
    settings.changed.connect(heard.append)

    settings.set("a", "b")
    settings.set("a", "b")
    settings.remove("a")

    assert heard == ["a", "a"]
