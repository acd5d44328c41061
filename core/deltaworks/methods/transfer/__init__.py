"""Methods that move parameters from a larger model into a smaller one, one file each."""

from deltaworks.methods.method import Table
from deltaworks.methods.transfer.record import TransferMethod

TRANSFER: Table[TransferMethod] = Table(
    "deltaworks.methods.transfer", {"seeking": "seeking.METHOD"}
)
