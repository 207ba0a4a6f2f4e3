"""A small picture in a terminal that can show one: kitty's, iTerm2's and the sixel protocol, and
half blocks in terminals of 16 million colours."""

import base64
import os
import select
import sys
from collections.abc import Iterator, Mapping

import numpy as np

from ..report.images import png

HALF = "\u2580"  # the upper half of a cell; its ground is the lower half
CHUNK = 4096  # bytes of a picture in one command of kitty's protocol
NUM_COLOURS = 128  # of a sixel picture
ITERM = ("iTerm.app", "WezTerm", "mintty")


def protocol_of(environment: Mapping[str, str], sixel: bool = False) -> str:
    """The protocol of a terminal by what it says of itself, "" for none; `sixel` is whether it has
    answered that it knows sixels."""
    program, term = environment.get("TERM_PROGRAM", ""), environment.get("TERM", "")
    if not (environment.get("TMUX") or environment.get("STY")):  # they pass no pictures on
        if "KITTY_WINDOW_ID" in environment or "kitty" in term or program == "ghostty":
            return "kitty"
        if program in ITERM or environment.get("LC_TERMINAL") == "iTerm2":
            return "iterm"
        if sixel:
            return "sixel"
    return "blocks" if environment.get("COLORTERM") in ("truecolor", "24bit") else ""


def show(pixels: np.ndarray, columns: int) -> None:
    """Print an RGB picture (H, W, 3) so many cells wide, where standard output can show it."""
    if not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return
    protocol = protocol_of(os.environ)
    if protocol in ("", "blocks") and protocol_of(os.environ, _knows_sixels()) == "sixel":
        protocol = "sixel"
    if protocol == "blocks":
        from rich.console import Console

        Console().print(blocks(resized(pixels, columns)))
    elif protocol:
        text = {"kitty": kitty, "iterm": iterm, "sixel": sixels}[protocol](pixels)
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


def kitty(pixels: np.ndarray) -> str:
    """The picture as commands of kitty's graphics protocol."""
    data = base64.b64encode(png(pixels)).decode()
    parts = [data[i : i + CHUNK] for i in range(0, len(data), CHUNK)]
    out = ""
    for i, part in enumerate(parts):
        head = "a=T,f=100," if i == 0 else ""
        out += f"\x1b_G{head}m={int(i + 1 < len(parts))};{part}\x1b\\"
    return out


def iterm(pixels: np.ndarray) -> str:
    """The picture as a command of iTerm2."""
    content = png(pixels)
    return f"\x1b]1337;File=inline=1;size={len(content)}:{base64.b64encode(content).decode()}\x07"


def sixels(pixels: np.ndarray) -> str:
    """The picture as sixels: bands of six rows, a line of characters for each of their colours."""
    from PIL import Image

    image = Image.fromarray(pixels).quantize(NUM_COLOURS)
    levels, palette = np.asarray(image), np.array(image.getpalette()).reshape(-1, 3)
    used = np.unique(levels)
    colours = (f"#{k};2;{';'.join(str(v * 100 // 255) for v in palette[k])}" for k in used)
    bands = (_band(levels[top : top + 6]) for top in range(0, len(levels), 6))
    return f'\x1bPq"1;1;{levels.shape[1]};{len(levels)}{"".join(colours)}{"-".join(bands)}\x1b\\'


def blocks(pixels: np.ndarray) -> "Text":  # type: ignore[name-defined]  # noqa: F821
    """The picture as rich text, of two rows of pixels a line."""
    from rich.text import Text

    rows = pixels[: len(pixels) // 2 * 2].reshape(-1, 2, pixels.shape[1], 3)
    text = Text(no_wrap=True, end="")
    for upper, lower in rows:
        for a, b in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append(HALF, "rgb({},{},{}) on rgb({},{},{})".format(*a, *b))
        text.append("\n")
    return text


def resized(pixels: np.ndarray, columns: int) -> np.ndarray:
    """The picture so many pixels wide."""
    from PIL import Image

    height = max(2, round(pixels.shape[0] * columns / pixels.shape[1]))
    return np.asarray(Image.fromarray(pixels).resize((columns, height), Image.Resampling.BOX))


def _band(levels: np.ndarray) -> str:
    """Six rows of colour numbers: runs of characters, each of which says which rows are lit."""
    weights = 2 ** np.arange(len(levels))[:, None]
    lines = []
    for k in np.unique(levels):
        lit = ((levels == k) * weights).sum(0)
        lines.append(f"#{k}{''.join(_runs(lit))}")
    return "$".join(lines)


def _runs(lit: np.ndarray) -> Iterator[str]:
    starts = np.flatnonzero(np.diff(lit, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(lit)], strict=True):
        yield f"!{stop - start}{chr(63 + int(lit[start]))}"


def _knows_sixels() -> bool:
    """Whether the terminal says so when it is asked what it is; it has a fifth of a second."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        return False
    if not sys.stdin.isatty():
        return False
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    answer = b""
    try:
        tty.setcbreak(keyboard)
        sys.stdout.write("\x1b[c")
        sys.stdout.flush()
        while not answer.endswith(b"c") and select.select([keyboard], [], [], 0.2)[0]:
            answer += os.read(keyboard, 64)
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
    return b"4" in answer.removesuffix(b"c").split(b";")[1:]
