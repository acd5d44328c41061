"""What a delta file says of itself: the manifest in its header, and how its parts are named.

A delta file is one safetensors file. Parts of a tensor are named ``<parameter>::<part>``;
side files and the expert's own headers are zstd blobs named ``__file__::<name>`` and
``__header__::<name>``. The header's metadata holds ``delta_manifest``, ``recipe``,
``report`` and ``app_version``, each but the last as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from deltaworks.checkpoints.faults import DAMAGED, place
from deltaworks.checkpoints.headers import read_header
from deltaworks.checkpoints.side_files import MAX_SIDE_FILE_BYTES
from deltaworks.errors import FileError

FORMAT: Literal[1] = 1
MANIFEST_KEY = "delta_manifest"
FILE_PREFIX = "__file__"
HEADER_PREFIX = "__header__"
BETWEEN = "::"
METADATA_KEYS = frozenset({MANIFEST_KEY, "recipe", "report", "app_version", "integrity"})
"""All that the header's metadata may hold."""
_ALWAYS_UNPACKED = 4 * 2**20
_MOST_EXPANSION = 1000
"""Headers and tokenizers unpack to some ten times their size; a bomb to ten thousand."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class BaseFacts(_Part):
    """The base that the delta needs.

    Args:
        id: its name, for people.
        revision: of a model from the Hub; empty otherwise.
        header: hash of its names, shapes and dtypes.
        tensors: hash of every tensor that is needed.
    """

    id: str
    revision: str = ""
    header: str = ""
    tensors: dict[str, str] = {}


class ExpertFacts(_Part):
    """The fine-tuned model that the delta stands for.

    Args:
        id: its name, for people.
        revision: of a model from the Hub; empty otherwise.
        kind: how it was stored.
        files: its weight files in shard order, with their sizes in bytes.
    """

    id: str
    revision: str = ""
    kind: str = ""
    files: dict[str, int] = {}


class StoredDelta(_Part):
    """How one tensor is stored.

    Args:
        codec: method id.
        shape: of the fine-tuned tensor.
        dtype: in which it is rebuilt.
        orig_dtype: in which the expert stores it.
        tuned: hash of the fine-tuned tensor; empty when not recorded.
        transposed: whether the parts are those of the transposed tensor; left out if not.
        base_rows: rows of a base tensor that has fewer or more; left out if it has as many.
    """

    codec: str
    shape: tuple[int, ...]
    dtype: str
    orig_dtype: str
    tuned: str = ""
    transposed: bool = False
    base_rows: int = 0

    @model_serializer(mode="wrap")
    def _briefly(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        facts: dict[str, Any] = whole(self)
        rare = ("transposed", "base_rows")
        return {name: value for name, value in facts.items() if value or name not in rare}


class DeltaManifest(_Part):
    """Everything a delta file needs to be applied, but the numbers.

    Args:
        format: version of this record.
        method: id of the chosen method.
        params: its options in full.
        seed: where random streams start.
        base: which base it needs.
        expert: which model it stands for.
        tensors: how each tensor is stored; the order is that of the parts.
        same: tensors that are the base's, bit for bit.
        alias: tensors that are another tensor of the expert, bit for bit.
        side_files: names of the files beside the expert's weights.
        sizes: bytes of the file by kind.
    """

    format: Literal[1] = 1
    method: str
    params: dict[str, Any] = {}
    seed: int = 0
    base: BaseFacts
    expert: ExpertFacts
    tensors: dict[str, StoredDelta] = {}
    same: tuple[str, ...] = ()
    alias: dict[str, str] = {}
    side_files: tuple[str, ...] = ()
    sizes: dict[str, int] = {}


def is_delta_file(path: Path) -> bool:
    """Whether a safetensors file says that it is a delta; FileError when it is damaged."""
    # Either key tells: a bit may have flipped in one of them.
    return not {MANIFEST_KEY, "integrity"}.isdisjoint(read_header(path).metadata)


def parse_manifest(metadata: Mapping[str, str], path: Path) -> DeltaManifest:
    """Read the manifest from a header's metadata.

    Raises:
        FileError: there is none, it is damaged, or of a later format.
    """
    data = json_of(metadata, MANIFEST_KEY, path)
    version = data.get("format")
    if isinstance(version, int) and version > FORMAT:
        raise FileError(
            f"delta format {version}, at most {FORMAT} is read by this version",
            where=place(path),
            fix="Update the application.",
        )
    try:
        return DeltaManifest.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        at = ".".join(str(key) for key in first["loc"])
        raise FileError(
            f"the manifest's {at:.80} is wrong: {first['msg']}", where=place(path), fix=DAMAGED
        ) from error


def json_of(metadata: Mapping[str, str], key: str, path: Path) -> dict[str, Any]:
    """Read one JSON object of the metadata; FileError when it is not one."""
    try:
        data = json.loads(metadata.get(key, ""))
    except (ValueError, RecursionError) as error:
        raise FileError(f"its {key} is not JSON", where=place(path), fix=DAMAGED) from error
    if not isinstance(data, dict):
        raise FileError(f"its {key} is not a JSON object", where=place(path), fix=DAMAGED)
    return data


def compact_json(data: Any) -> str:
    """Write JSON without blanks; keys stay in their order."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def pack_blob(data: bytes) -> bytes:
    """Compress a side file or a header."""
    from zstandard import ZstdCompressor

    return ZstdCompressor(level=9, write_checksum=True).compress(data)


def unpack_blob(data: bytes, where: str) -> bytes:
    """Decompress a side file or a header.

    Raises:
        FileError: it is damaged, or larger than any side file that is kept.
    """
    from zstandard import ZstdDecompressor, ZstdError, get_frame_parameters

    try:
        n_bytes = get_frame_parameters(data).content_size
        if n_bytes > MAX_SIDE_FILE_BYTES + 8:
            text = f"unpacks to {n_bytes:,} bytes, at most {MAX_SIDE_FILE_BYTES:,} are kept"
            raise FileError(text, where=where, fix=DAMAGED)
        if n_bytes > max(_ALWAYS_UNPACKED, _MOST_EXPANSION * len(data)):
            text = f"{len(data):,} bytes unpack to {n_bytes:,}, more than any text does"
            raise FileError(text, where=where, fix=DAMAGED)
        return ZstdDecompressor().decompress(data, max_output_size=n_bytes, allow_extra_data=False)
    except ZstdError as error:
        raise FileError(f"does not unpack ({error})", where=where, fix=DAMAGED) from error
