import numpy as np
from PIL import Image

from noisewalk.report import images, write_images
from noisewalk.report.pictures import strip


def test_written_files_hold_the_arrays(make, tmp_path):
    data = make(shape=(1, 32, 32), shown=2, value_range=(0.0, 10.0, "µJy/beam"))
    write_images(data, tmp_path)
    mean = np.asarray(Image.open(tmp_path / "mean.png"))
    np.testing.assert_array_equal(mean[::6, ::6], images.picture(data.mean[0]))
    sheet = np.asarray(Image.open(tmp_path / "samples.png"))
    assert sheet.shape == (3 * 192 + 2 * 4, 2 * 192 + 4, 4)
    np.testing.assert_array_equal(
        sheet[196 : 196 + 192 : 6, 196::6, 0], images.picture(data.samples[1, 1, 0])
    )
    std = np.asarray(Image.open(tmp_path / "std.png"))
    limit = images.upper_limit(data.std, data.scale)
    np.testing.assert_array_equal(
        std[8 : 8 + 192 : 6, 8 : 8 + 192 : 6], images.coloured(data.std[0], "magma", 0.0, limit)
    )
    label = std[8 + 192 + 8 + 10 :]
    assert (label != 255).any()


def test_written_files_of_several_images_have_a_row_each(make, tmp_path):
    write_images([make(shape=(3, 256, 256), shown=1), make(shape=(3, 256, 256), shown=1)], tmp_path)
    for name, size in (
        ("samples.png", (3 * 256 + 2 * 4, 2 * 256 + 4)),
        ("mean.png", (2 * 256 + 4, 256)),
    ):
        with Image.open(tmp_path / name) as image:
            assert image.size == size


def test_the_strip_is_measurement_mean_and_uncertainty(make):
    assert strip(make(measurement=np.zeros((1, 4, 4)))).shape == (128, 3 * 128 + 8, 3)
    assert strip(make(measurement=np.zeros(5))).shape == (128, 2 * 128 + 4, 3)
