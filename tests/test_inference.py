import gc
import os
import signal
import threading

import pytest

from estimators import make_estimator
from estimators.weights import WEIGHTS_DIR
from inference import compile_for_cpu


def test_ctrl_c_works_after_a_network_is_gone():
    estimator = make_estimator("mobilenetv2", engine="openvino")
    del estimator
    gc.collect()
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        threading.Event().wait(10)


def test_a_file_that_is_no_network_is_a_runtime_error():
    with pytest.raises(RuntimeError):
        compile_for_cpu(WEIGHTS_DIR / "manifest.json")
