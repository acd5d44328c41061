"""What this machine holds: the one object that the window and the command line talk to.

What reads checkpoints is imported when it is first asked for, in a background task: at the
window's start it would cost a third of a second.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from deltaworks.errors import FileError, OptionError
from deltaworks.library import relations
from deltaworks.library.files import files_of, fingerprint
from deltaworks.library.home import Home
from deltaworks.library.index import Index
from deltaworks.library.pedigree import Kin, read_kin
from deltaworks.library.relations import Relation, read_relations
from deltaworks.library.rows import ROLES, Match, ModelRow, State
from deltaworks.library.table import load_rows
from deltaworks.library.volumes import RootRow, mount_point
from deltaworks.progress import JobControl


@dataclass(frozen=True, slots=True)
class Sizes:
    """Totals over all models that are there, in bytes.

    Args:
        on_disk: weight files, shared ones counted once.
        shared: of those, files that several models use.
        saved: full size minus delta size, summed over deltas.
        models: how many.
    """

    on_disk: int
    shared: int
    saved: int
    models: int


class Library:
    """Models, their states, families and records. Safe to use from several threads.

    Watched folders are only ever read; nothing here moves or deletes a user's file.

    Args:
        home: whose index it is; made when there is none.
    """

    def __init__(self, home: Home) -> None:
        self.home = home
        self._index = Index(home.database)

    @property
    def read_only(self) -> str:
        """Why nothing can be changed, one sentence; empty when it can."""
        return self._index.read_only

    @property
    def is_new(self) -> bool:
        """Whether this is the first start: there is nothing to read."""
        return self._index.is_new

    def close(self) -> None:
        """Let go of the index."""
        self._index.close()

    # Roots

    def add_root(self, path: Path | str, *, subfolders: bool = True) -> RootRow:
        """Watch a folder, or list one file. What was removed from the list below it comes back.

        Raises:
            FileError: there is nothing at this place.
        """
        folder = _absolute(path)
        if not folder.exists():
            raise FileError("there is no such folder", where=str(folder), fix="Check the path.")
        root = RootRow(str(folder), subfolders, str(mount_point(folder)))
        with self._index.write() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO roots VALUES (?, ?, ?, 'Ready', '')",
                (root.path, root.subfolders, root.mount),
            )
            below = [
                record["id"]
                for record in connection.execute("SELECT id, path FROM models WHERE is_forgotten")
                if folder == Path(record["path"]) or folder in Path(record["path"]).parents
            ]
            _set(connection, "is_forgotten", 0, below)
        return root

    def roots(self) -> list[RootRow]:
        """List the watched folders."""
        return [
            RootRow(
                record["path"],
                bool(record["subfolders"]),
                record["mount"],
                record["state"],
                record["reason"],
            )
            for record in self._index.read("SELECT * FROM roots ORDER BY path")
        ]

    def remove_root(self, path: Path | str) -> list[int]:
        """Stop watching a folder and take its models off the list. No file is touched.

        Returns:
            Ids of the models that are no longer listed.
        """
        root = str(_absolute(path))
        with self._index.write() as connection:
            connection.execute("DELETE FROM roots WHERE path = ?", (root,))
            ids = [
                int(record["id"])
                for record in connection.execute(
                    "SELECT id FROM models WHERE root = ? AND NOT is_forgotten", (root,)
                )
            ]
            _set(connection, "is_forgotten", 1, ids)
        return ids

    def scan(
        self, control: JobControl, on_rows: Callable[[list[ModelRow]], None] = lambda _rows: None
    ) -> None:
        """Bring the list in line with the disk. See ``deltaworks.library.scan.scan``."""
        from deltaworks.library.scan import scan

        scan(self._index, self.roots(), control, on_rows)

    # Rows

    def rows(self) -> list[ModelRow]:
        """Every listed model, by name."""
        return load_rows(self._index)

    def some_rows(self, ids: Iterable[int]) -> list[ModelRow]:
        """These models, by name; ids that are not listed are left out."""
        return load_rows(self._index, ids)

    def row(self, model_id: int) -> ModelRow | None:
        """One model; None when it is not listed."""
        return next(iter(self.some_rows([model_id])), None)

    def row_at(self, path: Path | str) -> ModelRow | None:
        """The model at a place; None when it is not listed."""
        found = self._index.read("SELECT id FROM models WHERE path = ?", (str(_absolute(path)),))
        return self.row(found[0]["id"]) if found else None

    def report(self, model_id: int) -> dict[str, Any] | None:
        """What the making of an artefact recorded; None for models that were found."""
        found = self._index.read("SELECT report FROM artefacts WHERE model_id = ?", (model_id,))
        return dict(json.loads(found[0]["report"])) if found else None

    def sizes(self) -> Sizes:
        """Add up the disk use of all models that are there."""
        inodes: dict[str, tuple[int, set[int]]] = {}
        for record in self._index.read(
            "SELECT model_id, inode, size_bytes FROM files JOIN models ON id = model_id "
            "WHERE is_weight AND absence = '' AND NOT is_forgotten"
        ):
            inodes.setdefault(record["inode"], (record["size_bytes"], set()))[1].add(
                record["model_id"]
            )
        rows = [row for row in self.rows() if row.state not in {State.MISSING, State.OFFLINE}]
        return Sizes(
            on_disk=sum(size for size, _ in inodes.values()),
            shared=sum(size for size, users in inodes.values() if len(users) > 1),
            saved=sum(row.saved_bytes or 0 for row in rows),
            models=len(rows),
        )

    # What the user says

    def forget(self, ids: Sequence[int]) -> None:
        """Take models off the list. Their files stay; a rescan does not bring them back."""
        with self._index.write() as connection:
            _set(connection, "is_forgotten", 1, ids)

    def remember(self, ids: Sequence[int]) -> list[ModelRow]:
        """Undo ``forget``."""
        with self._index.write() as connection:
            _set(connection, "is_forgotten", 0, ids)
        return self.some_rows(ids)

    def set_role(self, ids: Sequence[int], role: str) -> list[ModelRow]:
        """Correct a role; it survives every rescan. Empty: go by what was found again."""
        if role not in {*ROLES, ""}:
            raise OptionError(f"no role '{role}' (known: {', '.join(ROLES)})", where="role")
        return self._change("set_role", role, ids)

    def rename(self, model_id: int, name: str) -> ModelRow | None:
        """Show a model under another name; its files keep theirs. Empty: its own name again."""
        return next(iter(self._change("shown_name", name.strip(), [model_id])), None)

    def set_tags(self, ids: Sequence[int], tags: Iterable[str]) -> list[ModelRow]:
        """Replace the tags of models."""
        wanted = sorted({tag.strip() for tag in tags} - {""})
        with self._index.write() as connection:
            connection.executemany("DELETE FROM tags WHERE model_id = ?", [(one,) for one in ids])
            connection.executemany(
                "INSERT INTO tags VALUES (?, ?)", [(one, tag) for one in ids for tag in wanted]
            )
        return self.some_rows(ids)

    def mark_used(self, ids: Sequence[int]) -> list[ModelRow]:
        """Note that a job or the playground used models just now."""
        return self._change("used_ns", time.time_ns(), ids)

    def accept_as_new(self, ids: Sequence[int]) -> list[ModelRow]:
        """Take changed files as they are: they are no longer compared with old recipes."""
        with self._index.write() as connection:
            connection.executemany(
                "DELETE FROM expectations WHERE model_id = ?", [(one,) for one in ids]
            )
        return self.some_rows(ids)

    # Families

    def relate(self, control: JobControl) -> list[ModelRow]:
        """Find families from headers and sampled weights; give the rows that changed."""
        from deltaworks.library.families import find_families

        changed = find_families(self._index, control)
        return self.some_rows(changed) if changed else []

    def relations(self) -> list[Relation]:
        """Every known relation."""
        return read_relations(self._index)

    def kin(self) -> list[Kin]:
        """Every relation with what artefacts were made from, for ``pedigree.forest``."""
        return read_kin(self._index)

    def confirm(self, ids: Sequence[int]) -> None:
        """Take the found relations of models as true."""
        relations.confirm(self._index, ids)

    def reject(self, ids: Sequence[int]) -> list[ModelRow]:
        """Drop the relations of models; the same ones are not proposed again."""
        relations.reject(self._index, ids)
        return self.some_rows(ids)

    def set_base(self, ids: Sequence[int], base_id: int) -> list[ModelRow]:
        """Say which base models descend from."""
        relations.set_base(self._index, ids, base_id)
        return self.some_rows([*ids, base_id])

    def put_back(self, ids: Sequence[int], before: Sequence[Relation]) -> list[ModelRow]:
        """Undo what was said of the relations of models."""
        relations.put_back(self._index, ids, before)
        return self.some_rows({*ids, *(one.base for one in before)})

    def match(
        self, base: Path | str, expert: Path | str, control: JobControl | None = None
    ) -> Match:
        """Say whether an expert fits a base; remembered until either's files change.

        Args:
            base: path of the base.
            expert: path of the expert.
            control: None compares headers only, at once; else sampled weights too, and a
                doubtful answer names the listed base that fits better.

        Raises:
            AppError: either cannot be opened.
            CancelledError: stopped.
        """
        from deltaworks.library import guard

        at_base, at_expert = _absolute(base), _absolute(expert)
        pair = f"{at_base}|{_stamp(at_base)}|{at_expert}|{_stamp(at_expert)}"
        known = self._index.read("SELECT evidence FROM matches WHERE pair = ?", (pair,))
        if known:
            return _match(json.loads(known[0]["evidence"]))
        if control is None:
            return guard.match_headers(at_base, at_expert)
        match = guard.match_sampled(at_base, at_expert, control)
        if match.level in {"doubtful", "mismatch"}:
            others = [(row.path, row.name) for row in self._usable_bases()]
            match = guard.with_better(match, at_expert, others, control, than=at_base)
        if not self.read_only:
            with self._index.write() as connection:
                connection.execute(
                    "INSERT OR REPLACE INTO matches VALUES (?, ?)",
                    (pair, json.dumps(asdict(match))),
                )
        return match

    def _usable_bases(self) -> Iterator[ModelRow]:
        usable = {State.READY, State.CHANGED, State.DUPLICATE}
        return (row for row in self.rows() if row.role == "Base" and row.state in usable)

    # Contents

    def hash_contents(
        self, control: JobControl, ids: Sequence[int] | None = None
    ) -> list[ModelRow]:
        """Hash models that may be copies of each other; give the rows that changed.

        Args:
            control: progress counts bytes.
            ids: hash these, whether or not they can have a copy.
        """
        from deltaworks.library import twins

        changed = twins.hash_contents(self._index, control, ids)
        return self.some_rows(changed) if changed else []

    def enter_artefact(
        self,
        artefact: Mapping[str, Any],
        report: Mapping[str, Any],
        *,
        quality: float | None = None,
        quality_how: str = "",
        quality_is_estimate: bool = False,
    ) -> ModelRow:
        """List what a job made, with its record.

        Args:
            artefact: one of the report's artefacts, as plain data.
            report: ``Report.as_json()``.
            quality: measured share kept.
            quality_how: on what it was measured.
            quality_is_estimate: computed from weights alone.
        """
        from deltaworks.library.artefacts import keep_artefact

        measured = (quality, quality_how, quality_is_estimate)
        row = self.row(keep_artefact(self._index, self.roots(), artefact, report, measured))
        assert row is not None
        return row

    def _change(self, column: str, value: object, ids: Sequence[int]) -> list[ModelRow]:
        with self._index.write() as connection:
            _set(connection, column, value, ids)
        return self.some_rows(ids)


def _set(connection: Any, column: str, value: object, ids: Iterable[int]) -> None:
    connection.executemany(
        f"UPDATE models SET {column} = ? WHERE id = ?", [(value, one) for one in ids]
    )


def _absolute(path: Path | str) -> Path:
    return Path(os.path.normpath(Path(path).expanduser().absolute()))


def _stamp(path: Path) -> str:
    try:
        return fingerprint(files_of(path))
    except OSError:
        return ""


def _match(evidence: dict[str, Any]) -> Match:
    better = evidence["better"]
    evidence["offenders"] = tuple(evidence["offenders"])
    evidence["better"] = (better[0], better[1]) if better else None
    return Match(**evidence)
