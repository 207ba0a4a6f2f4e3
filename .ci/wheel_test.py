"""Build the wheel and the source archive, and use the wheel where nothing else of noisewalk is.

    python .ci/wheel_test.py [--out DIR]

The wheel goes into an empty environment in a temporary folder, away from the repository. There it
says its version, and restores a held-out image. `--out` keeps the two files.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST = 62_000_000  # bytes of the wheel, nearly all of them weights
CONSTRAINTS = ["--constraint", str(ROOT / "constraints.txt")]


def main() -> None:
    """Build, look inside, install and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="folder that keeps the wheel and the archive")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        wheel, archive = build(place / "dist")
        look_inside(wheel, archive)
        run_away_from_here(wheel, place)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for file in (wheel, archive):
                shutil.copy(file, out)


def build(folder: Path) -> tuple[Path, Path]:
    """The wheel and the source archive, the wheel from the archive's files."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.whl")), next(folder.glob("*.tar.gz"))


def look_inside(wheel: Path, archive: Path) -> None:
    """Both hold the weights and the cards of every bundled prior."""
    size = wheel.stat().st_size
    print(f"{wheel.name}: {size / 1e6:.1f} MB", flush=True)
    if size > LARGEST:
        sys.exit(f"the wheel has {size} bytes, and at most {LARGEST} are allowed")
    source = ROOT / "src"
    bundled = source / "noisewalk" / "priors" / "bundled"
    wanted = {path.relative_to(source) for path in bundled.rglob("*") if path.is_file()}
    wanted |= {Path("noisewalk/py.typed"), Path("noisewalk/report/page.css")}
    with zipfile.ZipFile(wheel) as opened:
        lacking = {str(path) for path in wanted} - set(opened.namelist())
    with tarfile.open(archive) as tar:
        held = {name.partition("/src/")[2] for name in tar.getnames()}
    lacking |= {str(path) for path in wanted} - held
    if lacking:
        sys.exit(f"a file is missing in the wheel or the archive: {', '.join(sorted(lacking))}")


def run_away_from_here(wheel: Path, place: Path) -> None:
    """Install the wheel in an empty environment, and run it there."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment["NOISEWALK_CACHE"] = str(place / "cache")

    def call(*words: str) -> str:
        done = subprocess.run(
            words, cwd=place, env=environment, check=True, text=True, stdout=subprocess.PIPE
        )
        return done.stdout

    home = place / "venv"
    venv.create(home, with_pip=True)
    python, noisewalk = str(home / "bin" / "python"), str(home / "bin" / "noisewalk")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    call(*pip, *CONSTRAINTS, "torch")
    call(*pip, *CONSTRAINTS, str(wheel))
    version = call(noisewalk, "--version").strip()
    if f"-{version}-" not in wheel.name:
        sys.exit(f"{wheel.name} says that its version is {version}")
    where = call(python, "-c", "import noisewalk; print(noisewalk.__file__)").strip()
    if not Path(where).is_relative_to(home):
        sys.exit(f"noisewalk was imported from {where}, which is not the wheel's")
    printed = call(noisewalk, "demo", "--prior", "fashion32", "--task", "inpainting")
    if not (place / "demo" / "report.html").is_file() or not re.search(r"\S", printed):
        sys.exit(f"the demo wrote no report:\n{printed}")
    print(printed.strip().splitlines()[-1])
    print(f"the wheel of noisewalk {version} works in an empty environment")


if __name__ == "__main__":
    main()
