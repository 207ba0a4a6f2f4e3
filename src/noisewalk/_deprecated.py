"""Old public names: each goes on working for one release, and warns."""

import warnings

REMOVED_IN = "0.3.0"


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn the caller's caller that a public name has a new one."""
    warnings.warn(
        f"{old} is now {new}; the old name goes in noisewalk {REMOVED_IN}",
        FutureWarning,
        stacklevel=stacklevel,
    )
