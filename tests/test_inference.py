import gc
import os
import signal
import threading
from typing import Never

import numpy as np
import pytest

from engines.starting import compile_for_cpu, open_session, pieces, try_gpu
from errors import EngineError
from estimators import make_estimator
from estimators.weights import WEIGHTS_DIR


def test_ctrl_c_works_after_a_network_is_gone() -> None:
    estimator = make_estimator("mobilenetv2", engine="openvino")
    del estimator
    gc.collect()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        threading.Event().wait(10)


def test_a_file_that_is_no_network_is_a_runtime_error() -> None:
    with pytest.raises(RuntimeError):
        compile_for_cpu(WEIGHTS_DIR / "manifest.json")
    pytest.importorskip("onnxruntime")
    with pytest.raises(RuntimeError):
        open_session(WEIGHTS_DIR / "manifest.json")


def test_pieces_have_few_lengths_and_give_every_row_once_and_in_order() -> None:
    lengths = set()
    for count in range(1, 150):
        rows = np.arange(count, dtype=np.uint8)[:, None]
        parts = list(pieces(rows, 64))
        lengths |= {len(piece) for piece, _ in parts}
        np.testing.assert_array_equal(np.concatenate([part[:own] for part, own in parts]), rows)
    assert lengths == {1, 2, 4, 8, 16, 32, 64}


def test_what_fails_first_on_a_gpu_is_one_line_with_the_remedy() -> None:
    def call() -> Never:
        raise OSError("libcudnn.so.9\nis missing")

    with pytest.raises(EngineError, match=r"requirements-gpu\.txt, or use --device cpu") as caught:
        try_gpu("tensorflow", call)
    assert "\n" not in str(caught.value)
