"""How the store says, in one line, what is damaged or what the operating system refuses."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError

EXCERPT = 80  # characters of a value that an error shows
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)
"""What a reader meets in a file of the wrong content: RecursionError is a RuntimeError."""


def damaged(path: Path, reason: object) -> StoreError:
    """The error for a file that is not as the store wrote it."""
    text = f"no {reason}" if isinstance(reason, KeyError) else str(reason)
    told = excerpt(" ".join(text.split()), most=2 * EXCERPT)
    advice = "restore it from a copy or start another run"
    return StoreError(f"{path} is missing or damaged ({told}): {advice}")


def excerpt(text: str, start: int = 0, most: int = EXCERPT) -> str:
    """The part of a long text that begins at `start`."""
    end = start + most
    return f"{'...' * (start > 0)}{text[start:end]}{'...' * (len(text) > end)}"


@contextmanager
def reported(what: str, hint: str | Callable[[], str]) -> Iterator[None]:
    """Turn an OSError into a StoreError."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "no space left on the disk" if full else error.strerror or str(error)
        advice = hint if isinstance(hint, str) else hint()
        raise StoreError(f"{what}: {reason}; {advice}") from error
