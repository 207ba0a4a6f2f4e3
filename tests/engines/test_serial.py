"""The serial engine works here, at once, and hands errors on."""

import os

import pytest

from noisewalk.engines import Serial


def test_work_is_done_in_this_process_when_it_is_submitted(tmp_path):
    with Serial().open(tmp_path) as executor:
        future = executor.submit(os.getpid)
        assert future.done()
        assert future.result() == os.getpid()
        with pytest.raises(ZeroDivisionError):
            executor.submit(divmod, 1, 0).result()
