"""Training images: every format gives the same pixels, and each unsuitable input has its own clear
error."""

import gc
import gzip
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk.errors import ConfigError
from noisewalk.priors.train.data import image_names, load_images, to_unit


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, dtype=np.uint8)


def idx(images: np.ndarray) -> bytes:
    return b"\x00\x00\x08\x03" + np.array(images.shape, ">u4").tobytes() + images.tobytes()


def write(path: Path, images: np.ndarray) -> Path:
    """Write images in the format that the name asks for; without a suffix, a folder of PNG."""
    if path.suffix == ".npz":
        np.savez(path, images=images)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(idx(images)))
    elif path.name.endswith("ubyte"):
        path.write_bytes(idx(images))
    else:
        (path / "sub").mkdir(parents=True)
        for k, image in enumerate(images):
            Image.fromarray(image).save(
                (path / "sub" if k % 2 else path) / f"{'sub' if k % 2 else 'a'}{k:02}.png"
            )
    return path


FORMATS = ["train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "images.npz"]


def test_grey_images_come_back_exactly_and_in_order(tmp_path: Path) -> None:
    for name in FORMATS:
        images = pixels(5, 6, 6)
        got = load_images(write(tmp_path / name, images), 6, 1)
        assert got.dtype == torch.uint8
        assert torch.equal(got, torch.from_numpy(images)[:, None])


def test_a_path_may_be_a_string(tmp_path: Path) -> None:
    images = pixels(2, 4, 4)
    assert load_images(str(write(tmp_path / "a.npz", images)), 4, 1).shape == (2, 1, 4, 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_png_is_read_with_its_subfolders(tmp_path: Path, channels: int) -> None:
    images = pixels(4, 5, 5) if channels == 1 else pixels(4, 5, 5, 3)
    folder = write(tmp_path / "photos", images)
    (folder / "notes.txt").write_text("not an image")
    got = load_images(folder, 5, channels)
    expected = torch.from_numpy(images.reshape(4, 5, 5, channels)).permute(0, 3, 1, 2)
    assert got.shape == (4, channels, 5, 5)
    assert sorted(map(bytes, got.numpy())) == sorted(map(bytes, expected.contiguous().numpy()))


def test_colour_arrays_become_channels_first(tmp_path: Path) -> None:
    images = pixels(3, 4, 4, 3)
    assert torch.equal(
        load_images(write(tmp_path / "a.npz", images), 4, 3),
        torch.from_numpy(images).permute(0, 3, 1, 2),
    )


def test_smaller_images_are_padded_evenly_with_black(tmp_path: Path) -> None:
    for name in [*FORMATS, "folder"]:
        images = pixels(3, 5, 6) | 1
        got = load_images(write(tmp_path / name, images), 8, 1)
        assert got.shape == (3, 1, 8, 8)
        inside = got[:, 0] > 0
        rows, columns = (
            inside[0].any(1).nonzero().flatten().tolist(),
            inside[0].any(0).nonzero().flatten().tolist(),
        )
        assert columns == [1, 2, 3, 4, 5, 6]
        assert rows in ([1, 2, 3, 4, 5], [2, 3, 4, 5, 6])
        assert torch.equal(
            got[:, 0, rows[0] : rows[-1] + 1, 1:7].sort(0).values,
            torch.from_numpy(images).sort(0).values,
        )
        assert int(got.sum()) == int(images.sum(dtype=np.int64))


def test_to_unit_maps_0_to_minus_1_and_255_to_1_linearly() -> None:
    x = to_unit(torch.tensor([0, 51, 127, 128, 255], dtype=torch.uint8))
    assert x.dtype == torch.float32
    assert x[0] == -1
    assert x[-1] == 1
    torch.testing.assert_close(x[1:4], torch.tensor([-0.6, -1 / 255, 1 / 255]))


def refused(path: Path, *says: str, size: int = 6, channels: int = 1) -> None:
    with pytest.raises(ConfigError) as error:
        load_images(path, size, channels)
    message = str(error.value)
    assert "\n" not in message
    for text in (path.name, *says):
        assert text in message


def test_a_missing_path_is_named_with_what_is_allowed(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "no such file or folder", "IDX", ".npz", "folder")


def test_another_number_of_channels_is_told(tmp_path: Path) -> None:
    for name in [*FORMATS, "folder"]:
        refused(write(tmp_path / name, pixels(2, 4, 4)), "1 channels", "3", channels=3)


def test_larger_images_are_told_with_their_size(tmp_path: Path) -> None:
    for name in [*FORMATS, "folder"]:
        refused(write(tmp_path / name, pixels(2, 4, 7)), "4x7", "6", "resize")


def test_colours_where_grey_is_asked_are_told(tmp_path: Path) -> None:
    refused(write(tmp_path / "a.npz", pixels(2, 4, 4, 3)), "3 channels")


def test_a_file_that_is_no_image_idx_is_told(tmp_path: Path) -> None:
    for content in [
        b"",
        b"hello",
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"\x00\x00\x08\x01" + bytes(12),
        b"\x00\x00\x0d\x03" + bytes(12),
    ]:
        (tmp_path / "some-ubyte").write_bytes(content)
        refused(tmp_path / "some-ubyte", "IDX")


def test_an_idx_file_that_is_cut_or_too_long_is_told(tmp_path: Path) -> None:
    whole = idx(pixels(3, 4, 4))
    for content in (whole[:-1], whole + b"\x00", whole[:20]):
        (tmp_path / "cut-ubyte").write_bytes(content)
        refused(tmp_path / "cut-ubyte", "truncated", "3 images of 4x4", str(len(content)))


def test_a_gzip_file_that_is_cut_or_none_is_told(tmp_path: Path) -> None:
    for content in (gzip.compress(idx(pixels(3, 4, 4)))[:-9], b"hello", idx(pixels(3, 4, 4))):
        (tmp_path / "a-ubyte.gz").write_bytes(content)
        refused(tmp_path / "a-ubyte.gz", "cannot read")


def changed(content: bytes, start: int, stop: int) -> bytes:
    return content[:start] + bytes(b ^ 0xFF for b in content[start:stop]) + content[stop:]


def packed() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, images=pixels(3, 5, 6))
    return out.getvalue()


DAMAGED = {
    "cut.npz": packed()[:80],
    "empty.npz": b"",
    "bad.npz": changed(packed(), 60, 120),
    "bad-ubyte.gz": changed(gzip.compress(idx(pixels(3, 5, 6))), 15, 21),
}


def test_a_damaged_archive_is_told(tmp_path: Path) -> None:
    for name in DAMAGED:
        (tmp_path / name).write_bytes(DAMAGED[name])
        refused(tmp_path / name, "cannot read")


def test_an_npy_file_named_npz_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", pixels(2, 4, 4))
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    refused(tmp_path / "a.npz", "`images`")


def test_an_unsuitable_npz_is_told_and_closed(tmp_path: Path) -> None:
    for arrays in [{"x": pixels(2, 4, 4)}, {"images": np.array([{"a": 1}], dtype=object)}]:
        np.savez(tmp_path / "a.npz", **arrays)
        refused(tmp_path / "a.npz", "`images`")
        gc.collect()  # an open file would warn here, and a warning is an error


def test_an_empty_set_is_told(tmp_path: Path) -> None:
    for name in FORMATS:
        for shape in [(0, 4, 4), (2, 0, 4)]:
            refused(write(tmp_path / name, np.zeros(shape, np.uint8)), "no images", str(shape))


def test_a_size_or_number_of_channels_that_is_not_allowed_is_told(tmp_path: Path) -> None:
    for size, channels, says in [(0, 1, "size"), (6, 2, "channels"), (6, 4, "channels")]:
        with pytest.raises(ConfigError, match=says):
            load_images(write(tmp_path / "a.npz", pixels(2, 4, 4, 4)), size, channels)


def test_a_file_that_only_has_the_suffix_of_an_npz_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"hello")
    refused(tmp_path / "a.npz", "`images`")


def test_arrays_of_another_type_or_rank_are_told(tmp_path: Path) -> None:
    for images in [
        pixels(2, 4, 4).astype(np.float32),
        pixels(4, 4),
        pixels(1, 2, 2, 2, 1),
        pixels(2, 4, 4).astype(np.uint16),
    ]:
        np.savez(tmp_path / "a.npz", images=images)
        refused(tmp_path / "a.npz", "uint8", str(images.dtype), str(images.shape))


def test_a_folder_without_images_is_told_with_the_suffixes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("x")
    refused(tmp_path / "empty", ".png", ".jpg", ".tif")


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", pixels(2, 5, 5))
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(30))
    with pytest.raises(ConfigError, match=r"broken\.png cannot be read"):
        load_images(folder, 6, 1)


def test_all_files_that_cannot_be_used_are_counted_and_the_first_ones_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", pixels(4, 5, 5))
    for k in range(4):
        (folder / f"broken{k}.png").write_bytes(b"no image")
    Image.fromarray(pixels(5, 7)).save(
        folder / "a00.png"
    )  # the first one is the odd one out: the others decide
    Image.fromarray(np.full((5, 5), 2000, np.uint16)).save(folder / "deep.png")
    with pytest.raises(ConfigError) as error:
        load_images(folder, 8, 1)
    message = str(error.value)
    assert message.startswith(f"6 of the 9 files under {folder} cannot be used: ")
    for name in ("broken0.png", "broken1.png", "broken2.png", "broken3.png", "deep.png"):
        assert name in message
    assert message.endswith("; and 1 more")
    assert "\n" not in message
    for k in range(4):
        (folder / f"broken{k}.png").unlink()
    (folder / "deep.png").unlink()
    with pytest.raises(
        ConfigError, match=r"^\S*a00\.png is of shape \(1, 5, 7\), \S*a02\.png of \(1, 5, 5\)"
    ):
        load_images(folder, 8, 1)


def test_images_are_called_by_their_files_or_numbers(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", pixels(3, 5, 5))
    loaded, found = load_images(folder, 5, 1), image_names(folder, 3)
    for image, name in zip(loaded, found, strict=True):
        with Image.open(name) as file:
            assert np.array_equal(np.asarray(file), image[0].numpy())
    assert image_names(write(tmp_path / "a.npz", pixels(2, 5, 5)), 2) == ["a.npz[0]", "a.npz[1]"]


def test_a_cut_image_is_named_and_closed(tmp_path: Path) -> None:
    folder = write(tmp_path / "photos", pixels(1, 64, 64))
    (folder / "a00.png").write_bytes((folder / "a00.png").read_bytes()[:2000])
    with pytest.raises(ConfigError, match=r"a00\.png cannot be read"):
        load_images(folder, 64, 1)
    gc.collect()  # an open file would warn here, and a warning is an error


def test_a_palette_image_is_read_by_its_colours(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4, 3), (200, 100, 50), np.uint8)).quantize(4).save(
        tmp_path / "a.png"
    )
    assert load_images(tmp_path, 4, 3)[0, :, 1, 2].tolist() == [200, 100, 50]


def test_an_image_of_16_bit_is_named(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 2000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(
        ConfigError, match=r"a\.png holds pixels of type uint16: save it with 8 bits a channel"
    ):
        load_images(tmp_path, 4, 1)


@pytest.mark.parametrize("odd", [pixels(5, 4), pixels(5, 5, 3)], ids=["size", "colour"])
def test_an_image_unlike_the_first_is_named_with_both(tmp_path: Path, odd: np.ndarray) -> None:
    folder = write(tmp_path / "photos", pixels(3, 5, 5))
    Image.fromarray(odd).save(folder / "zz.png")
    with pytest.raises(ConfigError, match=r"zz\.png is of shape .*a00\.png of \(1, 5, 5\)"):
        load_images(folder, 6, 1)
