"""The exceptions of gate: what can go wrong, and who can fix it.

    GateError
    ├── CaseError         a case file, a tools file or a marker is wrong: names file:line
    ├── CheckpointError   a path is not a checkpoint that can be graded
    ├── FetchError        the demo model could not be fetched or is not the one expected
    ├── ServeError        a server could not be started, is not ours, or died
    │   └── MissingError  the program that would serve is not installed
    ├── AskError          a request got no answer that could be scored (a break, never a miss)
    ├── ReportError       a report could not be written or read
    ├── LimitError        a child process with limits broke one (gate.system.sandbox)
    ├── HeaderError       a weight file's header is broken or hostile (gate.checkpoints.tensors)
    ├── LedgerError       a ledger could not be written, or is not as gate wrote it (gate.registry.ledger)
    ├── SlotError         a slot's name, pointers or succession do not allow what was asked (gate.registry.slots)
    ├── PolicyError       pyproject.toml asks for what there is not, or the suites cannot be read (gate.registry.policy)
    └── PromotionError    the checkpoint may not be promoted (gate.registry.promote)

Every message says what was found and what to do. A model that answers badly is not an error:
it is a Reply, and the verdict counts it.
"""


class GateError(Exception):
    """Root of everything that gate raises on purpose."""

    status = 4
    """Exit status of a command that ends by it: 4 for bad input."""


class CaseError(GateError):
    """A case file, a tools file or a marker is wrong."""


class CheckpointError(GateError):
    """A path is not a checkpoint that can be graded."""


class FetchError(GateError):
    """The demo model could not be fetched, or is not the one expected."""


class ServeError(GateError):
    """A model server could not be started, is not the one started here, or died."""


class MissingError(ServeError):
    """The program that would serve is not installed."""


class AskError(GateError):
    """A request got no answer that could be scored: a break, never a miss."""


class ReportError(GateError):
    """A report could not be written or read."""
