import numpy as np
import pytest
import torch

from noisewalk.errors import StoreError
from noisewalk.storage.lazy import LazyDraws
from noisewalk.storage.segments import Segmented, SegmentWriter

NUM_DRAWS = 8
WHOLE = torch.arange(2 * 3 * NUM_DRAWS * 4 * 5, dtype=torch.float32).reshape(2, 3, NUM_DRAWS, 4, 5)
INDICES = [
    ...,
    0,
    -1,
    (1, 2),
    (1, -3, 7, 3, 4),
    (0, 1, 2, ...),
    (..., 2),
    (..., 2, slice(1, 4)),
    slice(None),
    (slice(None), slice(None), -1),
    (slice(None), slice(1, None, 2), slice(2, 7)),
    (slice(None), 1, slice(None, None, 3), slice(0, 0)),
    (slice(None), slice(None), slice(5, 2)),
    (0, slice(None), slice(-3, None), ..., 0),
    (slice(None), slice(None), [0, 5, 1, 5]),
    (slice(None), slice(None), torch.tensor([[7, -8], [3, 3]])),
    (1, torch.tensor([0, 2]), np.array([7, 6])),
    (torch.tensor([1, 0]), slice(None), 4),
    (torch.tensor([1, 0]), slice(None), torch.tensor([0, 7]), slice(None), 1),
    (slice(None), slice(None), torch.arange(NUM_DRAWS) % 2 == 0),
    (slice(None), torch.ones(3, NUM_DRAWS, dtype=torch.bool).tril(), 0),
    WHOLE > 100,
    (None, 0, ..., None),
    (np.int64(1), torch.tensor(2), slice(None)),
    (slice(None), slice(None), []),
]
WRONG = [
    2,
    (0, 0, NUM_DRAWS),
    (0, 0, -NUM_DRAWS - 1),
    (0, 0, 0, 0, 0, 0),
    (..., 0, ...),
    (0, [3]),
    (0, 0, torch.tensor([8])),
    torch.ones(3, dtype=torch.bool),
    1.5,
    "x",
]


@pytest.fixture(scope="module")
def lazy(tmp_path_factory):
    array = Segmented(tmp_path_factory.mktemp("group") / "x", 2, 3, (4, 5), "float32", 3)
    array.folder.mkdir()
    writer = SegmentWriter(array)
    for draw in range(NUM_DRAWS):
        writer.write(draw, WHOLE[:, :, draw].reshape(6, 4, 5))
    writer.close()
    return LazyDraws(array, NUM_DRAWS)


def test_indexing_equals_a_tensors(lazy):
    for index in INDICES:
        got, want = lazy[index], WHOLE[index]
        assert got.shape == want.shape, index
        assert torch.equal(got, want), index


def test_wrong_indices_are_index_errors(lazy):
    for index in WRONG:
        with pytest.raises((IndexError, TypeError)):
            lazy[index]


def test_a_negative_step_is_refused_as_by_a_tensor(lazy):
    with pytest.raises(ValueError, match="step"):
        lazy[:, :, ::-1]


def test_attributes_and_conversions_equal_the_whole(lazy):
    assert (lazy.shape, lazy.dtype, lazy.ndim, len(lazy)) == (
        WHOLE.shape,
        WHOLE.dtype,
        WHOLE.ndim,
        len(WHOLE),
    )
    assert np.array_equal(np.asarray(lazy), WHOLE.numpy())
    assert np.asarray(lazy, dtype=np.float64).dtype == np.float64
    assert all(torch.equal(a, b) for a, b in zip(lazy, WHOLE, strict=True))
    assert "x" in repr(lazy)


def test_draws_beyond_the_committed_ones_are_not_seen(lazy):
    fewer = LazyDraws(lazy._array, 5)
    assert torch.equal(fewer[...], WHOLE[:, :, :5])
    with pytest.raises(IndexError):
        fewer[0, 0, 5]


def test_what_is_read_is_a_copy(lazy):
    lazy[...].zero_()
    lazy[0, 0, 0].zero_()
    assert torch.equal(lazy[...], WHOLE)


def test_a_missing_segment_is_named(lazy, tmp_path):
    with pytest.raises(StoreError, match=r"c\.0\.0\.0"):
        LazyDraws(Segmented(tmp_path, 2, 3, (4, 5), "float32", 3), 1)[...]
