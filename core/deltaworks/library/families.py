"""Finding families among the models of the index, from headers first, then from numbers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deltaworks.checkpoints import open_checkpoint
from deltaworks.errors import AppError, CancelledError
from deltaworks.library.delta_bases import link_deltas
from deltaworks.library.index import Index
from deltaworks.library.lineage import GUESS, Found, Member, find_relations
from deltaworks.library.records import link_declared, relate
from deltaworks.library.samples import QUICK, block_matrices, chosen, read_sample, signature
from deltaworks.progress import JobControl, Progress, Warned

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

_BASE_WORDS = re.compile(r"(^|[-_./ ])(base|pretrained|foundation)([-_./ ]|$)", re.IGNORECASE)
_TUNED_WORDS = re.compile(
    r"(^|[-_./ ])(chat|instruct|it|sft|dpo|rlhf|tuned|ft|finetuned?|expert|lora)([-_./ ]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A full model that may be related to others."""

    id: int
    path: str
    name: str
    fingerprint: str
    role: str
    declares_base: bool
    signature: str

    @property
    def hint(self) -> int:
        """-1 for a name that says base, 1 for one that says fine-tune."""
        return bool(_TUNED_WORDS.search(self.name)) - bool(_BASE_WORDS.search(self.name))


def find_families(index: Index, control: JobControl) -> set[int]:
    """Group models by shape, compare sampled weights inside each group, keep what is found.

    Reads the headers of models that are new since the last time, and 8,192 numbers of each
    model of a group in which anything changed.

    Args:
        index: where models and relations are kept.
        control: progress counts models.

    Returns:
        Ids of models whose relation is new or changed.
    """
    candidates = _candidates(index)
    total = len(candidates)
    signed = []
    for number, candidate in enumerate(candidates):
        control.step(Progress(number, 2 * total, "comparing headers"))
        signed.append(candidate if candidate.signature else _sign(index, candidate, control))
    groups: dict[str, list[_Candidate]] = {}
    for candidate in signed:
        if candidate.signature not in {"", "-"}:
            groups.setdefault(candidate.signature, []).append(candidate)
    with index.write() as connection:
        changed = link_declared(connection)
    changed |= link_deltas(index, control)
    done = total
    for key, group in groups.items():
        part = control.part(done, 2 * total)
        if len(group) > 1:
            changed |= _relate_group(index, key, group, part)
        done += len(group)
    return changed


def _candidates(index: Index) -> list[_Candidate]:
    records = index.read(
        "SELECT id, path, name, models.fingerprint, set_role, declared_role, declared_bases, "
        "CASE WHEN signatures.fingerprint = models.fingerprint THEN signature ELSE '' END AS sign "
        "FROM models LEFT JOIN signatures ON model_id = id "
        "WHERE kind IN ('folder', 'file', 'hub') AND state = 'Ready' AND absence = '' "
        "AND NOT is_forgotten ORDER BY path"
    )
    return [
        _Candidate(
            record["id"],
            record["path"],
            record["name"],
            record["fingerprint"],
            record["set_role"] or record["declared_role"],
            record["declared_bases"] != "[]",
            record["sign"],
        )
        for record in records
    ]


def _sign(index: Index, candidate: _Candidate, control: JobControl) -> _Candidate:
    """Compute a model's shape signature; ``-`` when there is nothing to compare."""
    try:
        with open_checkpoint(Path(candidate.path)) as checkpoint:
            key = signature(block_matrices(checkpoint)) or "-"
    except CancelledError:
        raise
    except AppError as error:
        control.step(Warned(str(error), candidate.path))
        key = "-"
    with index.write() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO signatures VALUES (?, ?, ?)",
            (candidate.id, candidate.fingerprint, key),
        )
    return replace(candidate, signature=key)


def _relate_group(
    index: Index, key: str, group: Sequence[_Candidate], control: JobControl
) -> set[int]:
    rejected = _rejected(index)
    heads = _heads(index)
    stamp = _stamp(group, heads, rejected)
    if index.read("SELECT 1 FROM groups WHERE signature = ? AND stamp = ?", (key, stamp)):
        return set()
    samples: dict[int, Sequence[Array]] = {}
    for number, candidate in enumerate(group):
        control.step(Progress(number, len(group), f"comparing weights: {candidate.name}"))
        try:
            with open_checkpoint(Path(candidate.path)) as checkpoint:
                picked = chosen(block_matrices(checkpoint), QUICK)
                samples[candidate.id] = [read_sample(checkpoint, i, QUICK) for i in picked]
        except CancelledError:
            raise
        except AppError as error:
            control.step(Warned(str(error), candidate.path))
    members = [
        Member(
            candidate.id,
            is_base=candidate.role == "Base" or (not candidate.role and candidate.id in heads),
            is_expert=candidate.role in {"Expert", "Merge", "Repaired"},
            hint=candidate.hint,
        )
        for candidate in group
        if candidate.id in samples
    ]
    declaring = {candidate.id for candidate in group if candidate.declares_base}
    found = [
        relation
        for relation in find_relations(members, samples)
        if (relation.model, relation.base) not in rejected
        # Files that name a base that is not here outweigh a guess between two.
        and not (relation.model in declaring and relation.confidence <= GUESS)
    ]
    return _keep(index, key, stamp, [member.id for member in members], found)


def _keep(index: Index, key: str, stamp: str, ids: list[int], found: Sequence[Found]) -> set[int]:
    """Store what was found; drop what was found before and no longer is."""
    related = {relation.model for relation in found}
    changed = set()
    with index.write() as connection:
        before = {
            record["model_id"]: record["base_id"]
            for record in connection.execute("SELECT model_id, base_id FROM relations")
        }
        for model_id in set(ids) - related:
            cursor = connection.execute(
                "DELETE FROM relations WHERE model_id = ? AND kind = 'found from weights' "
                "AND NOT is_confirmed",
                (model_id,),
            )
            if cursor.rowcount:
                changed.add(model_id)
        for relation in found:
            declared = connection.execute(
                "SELECT base_id FROM relations WHERE model_id = ? AND kind != 'found from weights' "
                "AND base_id NOT NULL",
                (relation.model,),
            ).fetchone()
            if declared:  # what files say stands; the weights add their distance to it
                if declared["base_id"] == relation.base:
                    connection.execute(
                        "UPDATE relations SET distance = ?, confidence = ? WHERE model_id = ?",
                        (relation.distance, relation.confidence, relation.model),
                    )
                continue
            relate(
                connection,
                relation.model,
                relation.base,
                "found from weights",
                confidence=relation.confidence,
                distance=relation.distance,
            )
            if before.get(relation.model) != relation.base:
                changed |= {relation.model, relation.base}
        connection.execute("INSERT OR REPLACE INTO groups VALUES (?, ?)", (key, stamp))
    return changed


def _rejected(index: Index) -> frozenset[tuple[int, int]]:
    records = index.read("SELECT model_id, base_id FROM rejections")
    return frozenset((record["model_id"], record["base_id"]) for record in records)


def _heads(index: Index) -> frozenset[int]:
    """Models that files or the user name as a base."""
    records = index.read(
        "SELECT DISTINCT base_id FROM relations WHERE base_id NOT NULL "
        "AND (kind != 'found from weights' OR is_confirmed)"
    )
    return frozenset(record["base_id"] for record in records)


def _stamp(
    group: Sequence[_Candidate],
    heads: frozenset[int],
    rejected: frozenset[tuple[int, int]],
) -> str:
    """Change whenever the outcome could."""
    ids = {candidate.id for candidate in group}
    lines = [f"{c.id} {c.fingerprint} {c.role} {c.name} {c.id in heads}" for c in group]
    lines += [f"{pair}" for pair in sorted(rejected) if pair[0] in ids]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).hexdigest()
