"""Pictures in a terminal."""

import base64
import io
import sys

import numpy as np
import pytest
from PIL import Image

from noisewalk.cli import terminal

PICTURE = np.zeros((8, 12, 3), np.uint8)
PICTURE[:4, :, 0], PICTURE[4:, :6, 2] = 255, 128


@pytest.mark.parametrize(
    ("environment", "sixel", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, False, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, False, "iterm"),
        ({"TERM": "xterm-256color"}, True, "sixel"),
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, False, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "1", "COLORTERM": "truecolor"}, True, "blocks"),
        ({"TERM": "xterm-256color"}, False, ""),
        ({}, False, ""),
    ],
)
def test_a_terminal_gets_the_best_protocol_that_it_says_it_knows(environment, sixel, protocol):
    assert terminal.protocol_of(environment, sixel) == protocol


def test_nothing_is_shown_where_output_is_not_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-kitty")
    terminal.show(PICTURE, 12)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("environment", "start"),
    [
        ({"TERM": "xterm-kitty"}, "\x1b_Ga=T"),
        ({"TERM": "xterm", "TERM_PROGRAM": "WezTerm"}, "\x1b]1337;File=inline=1"),
        ({"TERM": "xterm", "COLORTERM": "truecolor"}, "\x1b[38;2;"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, ""),
    ],
)
def test_a_terminal_is_sent_what_it_knows(monkeypatch, environment, start):
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("TERM_PROGRAM", "LC_TERMINAL", "KITTY_WINDOW_ID", "TMUX", "STY", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    screen = Screen()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # cannot be asked for sixels
    terminal.show(PICTURE, 12)
    assert screen.getvalue().startswith(start)
    assert bool(screen.getvalue()) == bool(start)


def test_kitty_and_iterm_are_sent_the_picture_itself():
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    parts = terminal.kitty(noise).split("\x1b\\")[:-1]
    assert len(parts) > 2
    assert all(";" in part and part.startswith("\x1b_G") for part in parts)
    assert [part.partition(";")[0][-1] for part in parts] == ["1"] * (len(parts) - 1) + ["0"]
    sent = "".join(part.partition(";")[2] for part in parts)
    other = terminal.iterm(noise).partition(":")[2].rstrip("\x07")
    for code in (sent, other):
        image = Image.open(io.BytesIO(base64.b64decode(code)))
        np.testing.assert_array_equal(np.asarray(image), noise)


def test_sixels_are_the_picture():
    text = terminal.sixels(PICTURE)
    assert text.startswith('\x1bPq"1;1;12;8#')
    assert text.endswith("\x1b\\")
    np.testing.assert_allclose(decoded(text, 12, 8), PICTURE, atol=3)  # levels of a hundredth


def decoded(text, width, height):
    """A decoder of the few commands that are used."""
    canvas, colours = np.zeros((height, width, 3)), {}
    body = text.partition("8#")[2].removesuffix("\x1b\\")
    where, column, colour, i = 0, 0, 0, 0
    body = "#" + body
    while i < len(body):
        sign, i = body[i], i + 1
        number = ""
        while i < len(body) and sign in "#!" and (body[i].isdigit() or body[i] == ";"):
            number, i = number + body[i], i + 1
        if sign == "#":
            values = [int(v) for v in number.split(";")]
            colour = values[0]
            if len(values) > 1:
                colours[colour] = np.array(values[2:]) * 2.55
        elif sign == "!":
            lit, i = ord(body[i]) - 63, i + 1
            for bit in range(6):
                if lit >> bit & 1:
                    canvas[where + bit, column : column + int(number)] = colours[colour]
            column += int(number)
        else:
            where, column = where + 6 * (sign == "-"), 0
    return canvas


def test_half_blocks_hold_two_rows_a_line():
    text = terminal.blocks(PICTURE)
    assert text.plain == (terminal.HALF * 12 + "\n") * 4
    assert "rgb(255,0,0) on rgb(255,0,0)" in {str(span.style) for span in text.spans}


def test_a_picture_keeps_its_shape():
    assert terminal.resized(PICTURE, 6).shape == (4, 6, 3)
