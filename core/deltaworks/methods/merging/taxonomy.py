"""The classes of the merging survey, as the picker and the manual show them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from deltaworks.methods.merging import MERGING
from deltaworks.methods.merging_record import Group, MergingMethod


@dataclass(frozen=True, slots=True)
class MergingClass:
    """One class.

    Args:
        title: for people.
        idea: what its methods have in common, one sentence.
        survey: its number in the survey; empty for the one that is ours.
    """

    title: str
    idea: str
    survey: str


CLASSES: Mapping[Group, MergingClass] = {
    "direct": MergingClass(
        "Direct merging", "Arithmetic on weights or changes, in closed form.", "2"
    ),
    "magnitude": MergingClass(
        "Pruning by magnitude",
        "Changes are made sparse by size or at random, conflicts of sign are settled, the rest "
        "is added.",
        "3a",
    ),
    "spectral": MergingClass(
        "Spectral",
        "Singular vectors of the changes are kept, levelled or made orthogonal.",
        "",
    ),
    "optimisation": MergingClass(
        "Optimisation", "A merged tensor, or its coefficients, is solved for or learned.", "4"
    ),
    "activation": MergingClass(
        "Pruning by activations", "What counts is told by what layers see of some texts.", "3b"
    ),
    "lora": MergingClass("Adapters", "Work happens in the small space of LoRA adapters.", "5"),
    "experts": MergingClass(
        "Experts that are kept", "Several models stay, in shared parts; something chooses.", "6"
    ),
    "permutation": MergingClass(
        "Permutation",
        "Neurons are put in one order first, for models without a common base.",
        "1",
    ),
}
"""In the order of the picker."""


def members(group: Group) -> list[MergingMethod]:
    """List the methods of a class in the order of the table."""
    return [method for method in MERGING.values() if method.group == group]


def needs_text(method: MergingMethod) -> str:
    """Say what a method cannot do without: ``base, 2 or more experts, texts``."""
    needs = method.needs
    words = ["base"] if needs.base else []
    least, most = needs.min_experts, needs.max_experts
    if most is None:
        words.append(f"{least} or more experts" if least > 1 else "any experts")
    else:
        some = str(most) if most == least else f"{least} to {most}"
        words.append(f"{some} expert{'s' * (most > 1)}")
    if needs.statistics:
        words.append("texts of each expert")
    return ", ".join(words)


def repeats_text(method: MergingMethod) -> str:
    """Say whether two runs give the same: ``yes`` or ``by seed``."""
    return "by seed" if method.is_random else "yes"


def table() -> str:
    """Write the taxonomy as Markdown, one section a class."""
    parts = []
    for group, one in CLASSES.items():
        number = f" ({one.survey})" if one.survey else " (ours)"
        parts.append(f"### {one.title}{number}\n\n{one.idea}\n\n{_rows(members(group))}")
    return "\n".join(parts)


def _rows(methods: list[MergingMethod]) -> str:
    head = "| Method | Needs | Work on a matrix | Repeatable | Source |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| [{one.title}](methods/{one.id}.md) | {needs_text(one)} | {one.cost} "
        f"| {repeats_text(one)} | {one.source} |\n"
        for one in methods
    )
