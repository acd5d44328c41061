"""Methods that let one backbone learn task after task, one file each."""

from deltaworks.methods.continual.record import ContinualMethod
from deltaworks.methods.method import Table

CONTINUAL: Table[ContinualMethod] = Table("deltaworks.methods.continual", {"sotu": "sotu.METHOD"})
