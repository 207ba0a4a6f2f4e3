"""Hostile files for the command line, each in a process of its own that may take little memory.

`python tests/laws/bounded.py` prints a line of JSON a case: its name, the exit status, what was
said, and whether anything of the file was run.
"""

import hashlib
import io
import json
import os
import pickle
import resource
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import noisewalk as nw
from noisewalk.cli import doctor, main, report, sample  # noqa: F401
from noisewalk.priors import diffusers, load  # noqa: F401
from noisewalk.report import build  # noqa: F401
from noisewalk.storage import store  # noqa: F401

MORE = 1 << 29
"""Bytes of address space that a case may take beyond what the imports have."""
DEEP = b"[" * 5_000_000
WEIGHTS = "diffusion_pytorch_model.safetensors"
BOOM = "boom"
"""The file that appears where something of a hostile file is run."""
NO_WEIGHTS = struct.pack("<Q", 2) + b"{}"
Words = list[str]
SIZED = ("--size", "32", "--kind", "edm")


class Bomb:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {BOOM}",)


def restore(prior: str = "fashion32", image: str = "y.npy") -> Words:
    """The words that restore an image with a prior."""
    return f"sample {image} --prior {prior} --operator hdr:factor=2 --sigma-y 1 --out o".split()


def folder_with(**contents: bytes) -> Words:
    """A prior's folder; the names are those of the files, without their endings."""
    Path("prior").mkdir()
    weights = contents.get("w", NO_WEIGHTS)
    digest = hashlib.sha256(weights).hexdigest()  # so that nothing is refused by its hash
    card = {"kind": "edm", "shape": [1, 8, 8], "sha256": digest, "unshuffle": 1}
    card |= {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 0.5}
    config = {"_class_name": "UNet2DModel", "sample_size": 8, "in_channels": 1, "out_channels": 1}
    usual = {"card": json.dumps(card).encode(), "config": json.dumps(config).encode(), "w": weights}
    names = {"card": "card.json", "config": "config.json", "w": WEIGHTS}
    for key, data in {**usual, **contents}.items():
        Path("prior", names[key]).write_bytes(data)
    return restore("./prior")


def header(size: int, rest: bytes = b"{}") -> Words:
    """Weights whose header says that it is long."""
    return folder_with(w=struct.pack("<Q", size) + rest)


def run(name: str, data: bytes, *words: str) -> Words:
    """A run, one file of which holds other bytes."""
    phi, y = nw.maps.Warp((1, 4, 4), 0.5), torch.zeros(1, 1, 4, 4)
    target = nw.NoisePosterior(phi, torch.nn.Identity(), nw.likelihoods.Gaussian(0.5), y)
    short: dict[str, Any] = {"num_warmup": 0, "warm_start": None, "progress": False}
    nw.sample(target, nw.EllipticalSlice(), 2, 2, store="run", **short)
    (path,) = Path("run").glob(name)
    path.write_bytes(data)
    return [*words, "run"]


def pickled_array(name: str) -> Words:
    """An array of objects."""
    bombs = np.full((1, 32, 32), Bomb(), dtype=object)
    (np.savez if name.endswith("npz") else np.save)(name, bombs)
    return restore(image=name)


def claimed(name: str, shape: str) -> Words:
    """An array of which the header says that it is large."""
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()
    if name.endswith("npz"):
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr("arr_0.npy", data)
    else:
        Path(name).write_bytes(data)
    return restore(image=name)


def archive(name: str, *members: tuple[str, bytes, int]) -> Words:
    """A zip archive with members (name, content, mode)."""
    with zipfile.ZipFile(name, "w") as made:
        for member, content, mode in members:
            info = zipfile.ZipInfo(member)
            info.external_attr = mode << 16
            made.writestr(info, content)
    return restore(image=name) if name.endswith("npz") else [*restore(f"./{name}"), *SIZED]


def weights(data: bytes) -> Words:
    """A pickled prior."""
    Path("w.pt").write_bytes(data)
    return [*restore("./w.pt"), *SIZED]


def picture() -> Words:
    """A small file of many pixels."""
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    Path("y.png").write_bytes(buffer.getvalue())
    return restore(image="y.png")


LINK = 0o120777
CASES: dict[str, Callable[[], Words]] = {
    "a safetensors header of 2^40 bytes": lambda: header(1 << 40),
    "a safetensors header of 2^63 bytes": lambda: header((1 << 63) + 5),
    "a safetensors header of deep JSON": lambda: header(len(DEEP), DEEP),
    "a tensor of 2^60 bytes": lambda: header(
        80,
        b'{"a":{"dtype":"F32","shape":[288230376151711744],"data_offsets":[0,1152921]}}'.ljust(80),
    ),
    "a card of deep JSON": lambda: folder_with(card=DEEP),
    "a configuration of deep JSON": lambda: folder_with(config=DEEP),
    "a specification of deep JSON": lambda: run("spec.json", DEEP, "report"),
    "a root of deep JSON": lambda: run("run.zarr/zarr.json", DEEP, "report"),
    "a state with a long header": lambda: run("state-*", b"\xff" * 7 + b"\x0f{}", "report"),
    "a pickle as weights": lambda: weights(pickle.dumps(Bomb())),
    "a pickle of old protocol as weights": lambda: weights(pickle.dumps(Bomb(), protocol=0)),
    "a pickle in an archive of weights": lambda: archive(
        "w.pt", ("w/data.pkl", pickle.dumps(Bomb()), 0), ("w/version", b"3\n", 0)
    ),
    "a pickle as .npy": lambda: pickled_array("y.npy"),
    "a pickle in .npz": lambda: pickled_array("y.npz"),
    "an .npy of 10^15 numbers": lambda: claimed("y.npy", "(1, 100000000, 10000000)"),
    "an .npz of 10^15 numbers": lambda: claimed("y.npz", "(1, 100000000, 10000000)"),
    "a name with .. in .npz": lambda: archive("y.npz", (f"../{BOOM}", b"1", 0o644)),
    "a link in .npz": lambda: archive("y.npz", ("arr_0.npy", b"/etc/passwd", LINK)),
    "a name with .. in weights": lambda: archive("w.pt", (f"../{BOOM}", b"1", 0o644)),
    "a link in weights": lambda: archive("w.pt", ("w/data.pkl", b"/etc/passwd", LINK)),
    "a picture of 4 10^8 pixels": picture,
}


def tried(make: Callable[[], Words], folder: Path) -> tuple[int, list[str], bool]:
    """The exit status, what was said, and whether something was run, of one case."""
    (folder / "in").mkdir(parents=True)
    said = folder / "said"
    pid = os.fork()
    if not pid:
        code = 1
        try:
            os.chdir(folder / "in")
            words = make()
            if not Path("y.npy").exists():
                np.save("y.npy", np.zeros((1, 32, 32), np.float32))
            out = os.open(said, os.O_WRONLY | os.O_CREAT)
            os.dup2(out, 1)
            os.dup2(out, 2)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MORE, used + MORE))
            sys.argv = ["noisewalk", *words]
            main.main()
        except SystemExit as left:
            code = int(left.code or 0)
        finally:
            os._exit(code)
    status = os.waitpid(pid, 0)[1]
    lines = said.read_text().splitlines() if said.exists() else []
    return os.waitstatus_to_exitcode(status), lines, any(folder.rglob(BOOM))


def tried_all() -> dict[str, tuple[int, list[str], bool]]:
    """What came of every case."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as top:
        return {
            name: tried(make, Path(top, str(k))) for k, (name, make) in enumerate(CASES.items())
        }


if __name__ == "__main__":
    for name, found in tried_all().items():
        print(json.dumps([name, *found]))
