"""A reader of the page: its elements, its text, its pictures and its layers."""

import base64
import io
import json
import zlib
from html.parser import HTMLParser
from typing import Any

import numpy as np
from PIL import Image

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Elements, ids, text; fails on a tag that does not close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        if self.open:
            raise ValueError(f"never closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            raise ValueError(f"unexpected </{tag}>")

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def pictures(self) -> dict[str, Image.Image]:
        """By alternative text, decoded."""
        found = {}
        for img in self.all("img"):
            head, _, code = img["src"].partition(",")
            assert head == "data:image/png;base64"
            found[img["alt"]] = Image.open(io.BytesIO(base64.b64decode(code, validate=True)))
        return found


def facts_of(page: str) -> dict[str, Any]:
    """What the page's script draws from, of the first image."""
    found = page.partition('class="held">')[2].partition("</script>")[0]
    return dict(json.loads(found))


def values_of(layer: dict[str, Any]) -> np.ndarray:
    """The values of a layer; NaN where there are none."""
    count, bits = int(np.prod(layer["shape"])), layer["bits"]
    raw = np.frombuffer(zlib.decompress(base64.b64decode(layer["data"])), np.uint8)
    planes = raw.reshape(bits // 8, *layer["shape"])
    if layer["delta"]:
        planes = np.cumsum(planes, axis=-1, dtype=np.uint8)
    levels = planes.astype(int).reshape(bits // 8, count)
    whole = 256 * levels[0] + levels[1] if bits == 16 else levels[0]
    values = np.where(whole == 2**bits - 1, np.nan, layer["start"] + layer["step"] * whole)
    return values.reshape(layer["shape"])
