import numpy as np
import pytest
import torch
from PIL import Image

from noisewalk import operators
from noisewalk.errors import ConfigError, WeightsError
from noisewalk.operators import (
    HDR,
    AveragePool,
    BoxInpainting,
    CameraMotionBlur,
    CloudInpainting,
    Compose,
    Convolution,
    GaussianBlur,
    Identity,
    MaskInpainting,
    NeuralBlur,
    PhaseRetrieval,
    RandomInpainting,
    held_by,
    observed_of,
    parse,
    text_of,
)
from noisewalk.operators.neural_blur import expected_shapes
from noisewalk.operators.parser import CLASSES

SHAPE = (3, 32, 32)


def test_text_makes_the_operator_it_says():
    for text, operator in [
        ("avgpool:factor=4", AveragePool(4)),
        ("blur", GaussianBlur(61, 3.0)),
        ("blur:kernel_size=9,std=1.5", GaussianBlur(9, 1.5)),
        ("blur:std=1e+0", GaussianBlur(61, 1.0)),
        ("inpaint:keep=0.2", RandomInpainting(0.2, SHAPE, 0)),
        ("inpaint:seed=7,keep=.2", RandomInpainting(0.2, SHAPE, 7)),
        ("box:top=1,left=2,height=3,width=4", BoxInpainting(1, 2, 3, 4)),
        ("clouds:share=0.4", CloudInpainting(0.4, SHAPE, 8.0, 0)),
        ("clouds:share=0.3,length=2,seed=5", CloudInpainting(0.3, SHAPE, 2.0, 5)),
        ("hdr", HDR(2.0)),
        ("identity", Identity()),
        ("identity+avgpool:factor=4", Compose([Identity(), AveragePool(4)])),
        ("hdr:", HDR(2.0)),
        (" hdr : factor = 1.5 ", HDR(1.5)),
        ("phase", PhaseRetrieval(1.0)),
        ("phase:oversample=2", PhaseRetrieval(2.0)),
        ("motion:length=9", CameraMotionBlur(9.0, SHAPE, 0)),
        ("motion:seed=4,length=2.5", CameraMotionBlur(2.5, SHAPE, 4)),
        (
            "avgpool:factor=2+motion:length=3",
            Compose([AveragePool(2), CameraMotionBlur(3.0, (3, 16, 16))]),
        ),
        ("hdr+avgpool:factor=2", Compose([HDR(2.0), AveragePool(2)])),
        (
            "blur:std=1 + avgpool:factor=4+inpaint:keep=0.5",
            Compose([GaussianBlur(61, 1.0), AveragePool(4), RandomInpainting(0.5, (3, 8, 8))]),
        ),
    ]:
        assert parse(text, SHAPE) == operator
        assert repr(parse(text, SHAPE)) == repr(operator)


def test_an_operator_has_its_text_back():
    for operator in (
        AveragePool(4),
        GaussianBlur(9, 1.5),
        RandomInpainting(1 / 3, SHAPE, 7),
        BoxInpainting(1, 2, 3, 4),
        CloudInpainting(0.3, SHAPE, 2.0, 5),
        HDR(1.5),
        Identity(),
        PhaseRetrieval(2.0),
        CameraMotionBlur(2.5, SHAPE, 4),
        Compose([GaussianBlur(9, 1e-5), AveragePool(2), RandomInpainting(0.5, (3, 16, 16))]),
    ):
        assert parse(text_of(operator), SHAPE) == operator
    assert text_of(HDR(1.5)) == "hdr:factor=1.5"
    assert text_of(Compose([Identity(), AveragePool(4)])) == "identity+avgpool:factor=4"


def test_arrays_from_files_come_back_from_what_a_run_holds():
    mask = torch.arange(16 * 16).reshape(16, 16) % 3 == 0
    kernel = torch.tensor([[0.25, 0.5, 0.25]])
    for operator, names in (
        (MaskInpainting(mask.repeat(2, 2)), ["operator_0_mask"]),
        (Convolution(kernel), ["operator_0_kernel"]),
        (
            Compose([Convolution(kernel), AveragePool(2), MaskInpainting(mask)]),
            ["operator_0_kernel", "operator_2_mask"],
        ),
    ):
        held = held_by(operator)
        assert list(held) == names
        again = parse(text_of(operator), SHAPE, held)
        assert repr(again) == repr(operator)
        x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, *SHAPE)
        assert torch.equal(again(x), operator(x))
        with pytest.raises(ConfigError, match=r"operator '(mask|conv):Tensor"):
            parse(text_of(operator), SHAPE)


def test_what_is_not_ours_has_no_text_and_holds_nothing():
    for operator in (torch.sin, Compose([HDR(), torch.sin])):
        with pytest.raises(ConfigError, match="has no text"):
            text_of(operator)
        assert held_by(operator) == {}


def test_every_operator_has_a_text_form():
    public = {getattr(operators, name) for name in operators.__all__}
    classes = {value for value in public if isinstance(value, type)}
    assert classes - set(CLASSES.values()) == {Compose}


def test_gray_images_without_a_channel_axis_are_fine():
    assert parse("inpaint:keep=0.5", (8, 8)).shape == (8, 8)


@pytest.mark.parametrize("name", ["k.npy", "a:b=c,d e.npy", "a+1.NPY", "+.npy"])
def test_a_kernel_is_read_whatever_its_name(tmp_path, name):
    kernel = np.arange(1.0, 7.0).reshape(2, 3)
    with (tmp_path / name).open("wb") as file:
        np.save(file, kernel)
    assert torch.equal(
        parse(f"conv:{tmp_path / name},normalize=false", SHAPE).kernel, torch.from_numpy(kernel)
    )


def test_a_network_is_read_from_its_weights(tmp_path):
    path = tmp_path / "a=b c.pth"
    torch.save(
        {key: torch.zeros(1).expand(shape) for key, shape in expected_shapes().items()}, path
    )
    operator = parse(f"neuralblur:weights={path},seed=5", (3, 256, 256))
    assert isinstance(operator, NeuralBlur)
    assert (operator.weights_path, operator.seed) == (str(path), 5)
    assert text_of(operator) == f"neuralblur:weights={path},seed=5"
    with pytest.raises(
        ConfigError,
        match=r"operator 'neuralblur:weights=.*shape \(3, 256, 256\) only, got \(3, 32, 32\)",
    ):
        parse(f"neuralblur:weights={path}", SHAPE)


def test_weights_that_cannot_be_used_are_an_error_of_weights_that_names_the_step():
    with pytest.raises(
        WeightsError, match=r"^operator 'neuralblur:weights=absent.pth': absent.pth is not a file"
    ):
        parse("hdr+neuralblur:weights=absent.pth", (3, 256, 256))


@pytest.mark.parametrize("shape", [(32, 32), (1, 32, 32), (3, 32, 32)])
def test_a_mask_is_read_from_an_array(tmp_path, shape):
    mask = np.arange(np.prod(shape)).reshape(shape) % 3 == 0
    np.save(tmp_path / "m.npy", mask)
    operator = parse(f"avgpool:factor=1+mask:{tmp_path / 'm.npy'}", SHAPE)
    observed = observed_of(operator, SHAPE)
    assert torch.equal(observed.expand(SHAPE), torch.from_numpy(mask).expand(SHAPE))


def test_white_of_an_image_is_observed(tmp_path):
    mask = np.arange(64).reshape(8, 8) % 3 == 0
    Image.fromarray(np.uint8(255 * mask)).save(tmp_path / "m.png")
    operator = parse(f"avgpool:factor=4+mask:{tmp_path / 'm.png'}", SHAPE)
    assert torch.equal(
        observed_of(operator, SHAPE).expand(3, 8, 8), torch.from_numpy(mask).expand(3, 8, 8)
    )


def test_bad_text_is_refused_in_one_clear_line():
    for text, message in [
        (
            "",
            "unknown name ''; known: avgpool, blur, inpaint, box, clouds, hdr, identity, "
            "motion, phase, neuralblur, conv, mask",
        ),
        ("avgpol:factor=2", "unknown name 'avgpol' .did you mean 'avgpool'"),
        ("HDR", "did you mean 'hdr'"),
        ("phase:oversample=0", "oversample must be a finite number above 0"),
        ("phase:factor=2", "unknown key 'factor'; keys of phase: oversample"),
        ("motion", "length must be given, as in motion:length=..."),
        ("motion:length=long", "length must be a finite number, got 'long'"),
        ("motion:length=500", "must be below the image's sides, got 32 x 32"),
        ("avgpool:factor=8+motion:length=60", "operator 'motion:length=60'.*4 x 4"),
        ("neuralblur", "weights must be given, as in neuralblur:weights=..."),
        ("neuralblur:weights=", "weights must be a file, got ''"),
        ("neuralblur:w.pth", "expected key=value, got 'w.pth'; keys of neuralblur: weights, seed"),
        ("neuralblur:weights=w.pth,seed=x", "seed must be a whole number, got 'x'"),
        ("hdr+blurr", "operator 'blurr': unknown name"),
        ("hdr+", "unknown name 'hdr\\+'"),
        ("avgpool", "factor must be given, as in avgpool:factor=..."),
        ("box:top=1,left=2", "height, width must be given"),
        ("inpaint:seed=1", "keep must be given"),
        ("blur:sdt=2", "unknown key 'sdt' .did you mean 'std'.*; keys of blur: kernel_size, std"),
        ("hdr:2", "expected key=value, got '2'; keys of hdr: factor"),
        ("hdr:factor=2,", "expected key=value, got ''"),
        ("hdr:factor=2,factor=3", "factor is given twice"),
        ("avgpool:factor=2.0", "factor must be a whole number, got '2.0'"),
        ("avgpool:factor=two", "got 'two'"),
        ("avgpool:factor=", "got ''"),
        ("avgpool:factor=" + "9" * 5000, "whole number"),
        ("hdr:factor=nan", "must be a finite number, got 'nan'"),
        ("hdr:factor=inf", "must be a finite number, got 'inf'"),
        ("hdr:factor=1e999", "got inf"),
        ("hdr:factor=1_0", "got '1_0'"),
        ("hdr:factor=-2", "above 0"),
        ("avgpool:factor=0", "at least 1, got 0"),
        ("avgpool:factor=5", "factor 5 must divide the sides, got 32 x 32"),
        ("avgpool:factor=2+avgpool:factor=3", "operator 'avgpool:factor=3'.*16 x 16"),
        ("avgpool:factor=4+blur", "operator 'blur'.*12 pixels.*8 x 8"),
        ("blur:kernel_size=4", "odd"),
        ("inpaint:keep=20", "at most 1"),
        ("inpaint:keep=0.2,seed=-1", "seed.*-1"),
        ("inpaint:keep=0.00001", "keeps none of 1024"),
        ("box:top=30,left=0,height=3,width=3", "inside the image, got 32 x 32"),
        ("box:top=0,left=0,height=32,width=32", "whole image"),
        ("conv", "a file must be given, as in conv:FILE.npy"),
        ("mask:", "a file must be given, as in mask:FILE.npy"),
        ("conv:psf.png", "psf.png does not exist"),
        ("conv:absent.npy", "absent.npy does not exist"),
        ("mask:absent.png", "absent.png does not exist"),
        ("mask:mask.jpg", "is a JPEG"),
    ]:
        with pytest.raises(ConfigError, match=message) as caught:
            parse(text, SHAPE)
        assert str(caught.value).startswith("operator '")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("conv", np.ones((3, 3, 3)), "2-D array"),
        ("conv", np.ones(5), "2-D array"),
        ("conv", np.array([[1.0, np.nan]]), "must be finite"),
        ("conv", np.array([[1.0, -1.0]]), "must not sum to 0"),
        ("conv", np.ones((70, 3)) / 210, "kernel .70 x 3. must reach less far"),
        ("conv", np.ones((2, 2), complex), "complex"),
        ("conv", np.ones((0, 2)), "no values"),
        ("mask", np.ones((16, 16)), r"shape \(1, 16, 16\)"),
        ("mask", np.full((32, 32), 0.5), "values other than 0"),
        ("mask", np.zeros((32, 32)), "hides every pixel"),
    ],
)
def test_files_with_other_content_are_refused(tmp_path, name, values, message):
    np.save(tmp_path / "f.npy", values)
    with pytest.raises(ConfigError, match=message):
        parse(f"{name}:{tmp_path / 'f.npy'}", SHAPE)


@pytest.mark.parametrize("suffix", [".npy", ".png"])
@pytest.mark.parametrize("damage", ["empty", "noise", "truncated", "folder"])
def test_damaged_files_are_refused(tmp_path, suffix, damage):
    path, whole = tmp_path / f"f{suffix}", tmp_path / f"whole{suffix}"
    if suffix == ".npy":
        np.save(whole, np.ones((32, 32)))
    else:
        Image.fromarray(np.full((32, 32), 255, np.uint8)).save(whole)
    if damage == "folder":
        path.mkdir()
    else:
        path.write_bytes(
            {"empty": b"", "noise": b"\x00\x01" * 99, "truncated": whole.read_bytes()[:-30]}[damage]
        )
    with pytest.raises(ConfigError, match=r"f\.(npy|png)"):
        parse(f"mask:{path}", SHAPE)


def test_only_the_shape_of_an_image_is_taken():
    for shape in [(), (32,), (1, 3, 32, 32), (3, 32, 0), (3, 32, 32.0)]:
        with pytest.raises(ConfigError, match="shape"):
            parse("hdr", shape)


def test_a_kernel_that_does_not_sum_to_1_says_what_to_do(tmp_path):
    kernel, path = np.ones((3, 3)) / 3, tmp_path / "psf,a.npy"
    np.save(path, kernel)
    with pytest.raises(ConfigError, match=r"sums to 3, not to 1: normalize=true divides"):
        parse(f"conv:{path}", SHAPE)
    kept = parse(f"conv:{path},normalize=false", SHAPE)
    assert torch.equal(kept.kernel, torch.from_numpy(kernel))
    made = parse(f"conv:{path},normalize=true,boundary=valid", SHAPE)
    torch.testing.assert_close(made.kernel, torch.from_numpy(kernel / 3))
    assert made.boundary == "valid"
    assert text_of(made).endswith(",boundary=valid")
    again = parse("conv:gone.npy,normalize=true,boundary=valid", SHAPE, held_by(made))
    assert torch.equal(again.kernel, made.kernel)
    for text in ("normalize=yes", "boundary=same"):
        with pytest.raises(ConfigError, match=text.split("=")[0]):
            parse(f"conv:{path},{text}", SHAPE)


def test_a_kernel_may_be_in_a_fits_file(tmp_path):
    fits = pytest.importorskip("astropy.io.fits")
    kernel = np.arange(1.0, 7.0).reshape(2, 3)
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(kernel, name="PSF"), fits.ImageHDU(2 * kernel)]
    fits.HDUList(hdus).writeto(tmp_path / "psf.fits")
    made = parse(f"conv:{tmp_path}/psf.fits[PSF],normalize=true+avgpool:factor=2", SHAPE)
    torch.testing.assert_close(made.steps[0].kernel, torch.from_numpy(kernel / 21))


def test_an_edge_of_pooling_is_a_word(tmp_path):
    made = parse("avgpool:factor=3,edge=crop", (1, 32, 32))
    assert text_of(made) == "avgpool:factor=3,edge=crop"
    with pytest.raises(ConfigError, match="edge=pad"):
        parse("avgpool:factor=3", (1, 32, 32))
