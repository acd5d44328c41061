from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deltaworks.errors import OptionError
from deltaworks.methods import (
    COMPRESSION,
    CONTINUAL,
    FUSION,
    MERGING,
    METHODS,
    SAFETY,
    TRANSFER,
    compression_method,
    merging_method,
    safety_method,
)
from deltaworks.methods.manual import BEGIN, END, options_table, with_options
from deltaworks.methods.method import Method, index
from deltaworks.options import describe

PAGES = Path(__file__).parents[3] / "docs" / "methods"
EVERY = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def test_ids_are_the_known_ones() -> None:
    assert set(COMPRESSION) == {
        "sign",
        "dare",
        "magnitude",
        "low-rank",
        "delta-dct",
        "lossless",
        "impart",
        "group-dropout",
        "base-shift",
        "impart-qt",
        "delta-come",
        "rdc",
        *("bitdelta", "gptq", "deltazip", "ultradelta"),
    }
    assert set(MERGING) == {
        *("linear", "slerp", "nuslerp", "multislerp", "karcher", "nearswap", "arcee-fusion"),
        "passthrough",
        *("task-arithmetic", "ties", "dare-linear", "dare-ties", "breadcrumbs"),
        *("breadcrumbs-ties", "della", "della-linear", "sce", "ram", "ramplus-tl", "model-stock"),
        *("consensus-ta", "tsv-merge", "iso-c", "iso-cts", "star", "cart", "wudi", "doge-ta"),
        *("pcb", "ties-global", "localize-and-stitch", "magmax", "knots", "core-space"),
        *("activation-ties", "align"),
        *("emr", "tall-mask", "channel-merging", "fisher", "regmean"),
    }
    assert set(SAFETY) == {
        *("safe-delta", "interpolation", "safelora", "resta", "irr", "safemerge", "antidote")
    }
    assert set(CONTINUAL) == {"sotu"}
    assert set(FUSION) == {"visionfuse"}
    assert set(TRANSFER) == {"seeking"}
    tables = (COMPRESSION, MERGING, SAFETY, CONTINUAL, FUSION, TRANSFER)
    assert len(METHODS) == sum(len(table) for table in tables)


def test_two_methods_of_one_id_are_refused() -> None:
    with pytest.raises(ValueError, match="share an id"):
        index(COMPRESSION["sign"], COMPRESSION["sign"])


@EVERY
def test_records_are_complete(method: Method) -> None:
    tables: dict[str, Any] = {"compression": COMPRESSION, "merging": MERGING, "safety": SAFETY}
    tables |= {"continual": CONTINUAL, "fusion": FUSION, "transfer": TRANSFER}

    assert tables[method.family][method.id] is method
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", method.id)
    assert method.title
    assert method.source
    assert method.evidence.endswith(".")
    assert method.summary.endswith(".")
    assert len(method.summary) < 100


@EVERY
def test_every_option_says_what_it_is(method: Method) -> None:
    every = [method.options, getattr(method, "expert_options", method.options)]
    for options in every:
        options()
        for info in describe(options):
            assert info.title
            assert info.help.endswith(".")
            assert set(info.labels) in (set(), set(info.choices))
            assert info.sweepable or not info.sweep
            for value in info.sweep:
                assert getattr(options(**{info.name: value}), info.name) == value
            if info.kind == "choice":
                assert info.default in info.choices


@EVERY
def test_pages_show_the_options_as_declared(method: Method) -> None:
    page = (PAGES / f"{method.id}.md").read_text(encoding="utf-8")

    assert with_options(page, method) == page
    assert page.startswith(f"# {method.title}\n")
    for heading in ("What it does", "When to use it", "Options", "Cost", "Limits", "Source"):
        assert f"\n## {heading}" in page


def test_every_page_has_its_method() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} == set(METHODS)


def test_tables_show_bounds_units_and_choices() -> None:
    table = options_table(MERGING["ties"])

    assert "| Density | `density` | above 0 to 1 fraction | `0.2` |" in table
    assert "| Normalize | `normalize` | `true`, `false` | `true` |" in table
    assert "**Options of each expert**: none." in options_table(MERGING["slerp"])


def test_a_page_without_markers_is_refused() -> None:
    for page in ("no markers", f"{BEGIN} only one", f"only the other {END}"):
        with pytest.raises(ValueError, match="lacks"):
            with_options(page, METHODS["sign"])


def test_unknown_methods_are_named_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"'bytedelta'.*Choose one of sign, delta-dct, dare"):
        compression_method("bytedelta")
    with pytest.raises(OptionError, match=r"'sign'.*linear, slerp, task-arithmetic, ties"):
        merging_method("sign")
    assert compression_method("dare").id == "dare"
    assert merging_method("ties").id == "ties"
    with pytest.raises(OptionError, match=r"'ties'.*safe-delta, interpolation"):
        safety_method("ties")


def test_methods_and_their_tables_need_no_torch() -> None:
    code = (
        "import sys; from deltaworks.methods import METHODS; "
        "from deltaworks.methods.manual import options_table; "
        "from deltaworks.methods.compression.applying import restore_tensor; "
        "[options_table(m) for m in METHODS.values()]; "
        "from deltaworks.methods import COMPRESSION; "
        "[m.stored_bits((64, 64), m.options()) for m in COMPRESSION.values()]; "
        "sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
