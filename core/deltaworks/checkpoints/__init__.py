"""Named tensors on disk: open, describe, write, verify."""

from deltaworks.checkpoints.adapter import AdapterCheckpoint
from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.delta_checkpoint import DeltaCheckpoint
from deltaworks.checkpoints.delta_manifest import DeltaManifest
from deltaworks.checkpoints.delta_writer import DeltaWriter
from deltaworks.checkpoints.faults import IncompleteError, UnsafeFormatError
from deltaworks.checkpoints.find import find_checkpoints
from deltaworks.checkpoints.folder import ModelCheckpoint
from deltaworks.checkpoints.hashes import content_hash, tensor_hash
from deltaworks.checkpoints.opening import open_checkpoint
from deltaworks.checkpoints.roles import TensorRole, roles_of
from deltaworks.checkpoints.tensors import TensorInfo
from deltaworks.checkpoints.verify import verify_checkpoint
from deltaworks.checkpoints.writer import ModelWriter

__all__ = [
    "AdapterCheckpoint",
    "Checkpoint",
    "DeltaCheckpoint",
    "DeltaManifest",
    "DeltaWriter",
    "Identity",
    "IncompleteError",
    "ModelCheckpoint",
    "ModelWriter",
    "TensorInfo",
    "TensorRole",
    "UnsafeFormatError",
    "content_hash",
    "find_checkpoints",
    "open_checkpoint",
    "roles_of",
    "tensor_hash",
    "verify_checkpoint",
]
