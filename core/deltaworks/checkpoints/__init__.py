"""Named tensors on disk: open, describe, write, verify."""

from deltaworks.checkpoints.checkpoint import Checkpoint, Identity
from deltaworks.checkpoints.faults import IncompleteError, UnsafeFormatError
from deltaworks.checkpoints.find import find_checkpoints
from deltaworks.checkpoints.hashes import content_hash, tensor_hash
from deltaworks.checkpoints.opening import open_checkpoint
from deltaworks.checkpoints.roles import TensorRole, roles_of
from deltaworks.checkpoints.tensors import TensorInfo

__all__ = [
    "Checkpoint",
    "Identity",
    "IncompleteError",
    "TensorInfo",
    "TensorRole",
    "UnsafeFormatError",
    "content_hash",
    "find_checkpoints",
    "open_checkpoint",
    "roles_of",
    "tensor_hash",
]
