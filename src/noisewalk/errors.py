"""The exception classes: every error a user can meet derives from `NoisewalkError`."""

from typing import Any


class NoisewalkError(Exception):
    """Base of all errors that noisewalk raises on purpose."""


class ConfigError(NoisewalkError, ValueError):
    """A value given by the user is not allowed; the message says what was got, what is allowed and
    what to do."""


class WeightsError(NoisewalkError):
    """A weight file cannot be used: wrong hash, missing or unexpected keys, wrong shapes (named in
    the message)."""


class StoreError(NoisewalkError):
    """A run folder cannot be used: version or specification mismatch, or corruption."""


class BusyError(StoreError):
    """Another process is writing to the run folder: it can be used when that ends."""


class DivergedError(NoisewalkError):
    """A start is not finite, or every chain has diverged; the message names the step and the
    chains."""

    run: Any = None
    """The `Run` of the draws before, where `nw.sample` keeps them in memory."""


class MissingExtraError(NoisewalkError, ImportError):
    """An optional dependency is missing; the message is the pip line that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs {package}, which is not installed: pip install 'noisewalk[{extra}]'"
        )
