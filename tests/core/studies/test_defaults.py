from __future__ import annotations

import pytest

from deltaworks.methods import COMPRESSION
from deltaworks.options import describe
from deltaworks.studies.defaults import FIRST_METHODS, default_settings


def test_the_first_sweep_tries_the_first_methods_and_no_other() -> None:
    tried = [setting.method for setting in default_settings()]

    assert tuple(dict.fromkeys(tried)) == FIRST_METHODS
    assert set(FIRST_METHODS) < set(COMPRESSION)


@pytest.mark.parametrize("name", COMPRESSION)
def test_every_method_can_be_asked_for(name: str) -> None:
    found = default_settings([name])

    assert {setting.method for setting in found} == {name}
    declared = {info.name for info in describe(COMPRESSION[name].options) if info.sweep}
    assert {option for setting in found for option in setting.options} == declared
    for setting in found:
        COMPRESSION[name].options(**setting.options)
