"""A tiny stand-in for FaceNet's network: embeds a chip as its mean colours, in an instant."""

import hashlib
from pathlib import Path

import numpy as np

from engines.onnx_writer import OnnxWriter
from estimators.facenet import hash_file_of

SIDE, WIDTH, FEATURES = 16, 6, 9


def random_chips(count: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)


def write_network(path: Path) -> Path:
    """(B, 16, 16, 3) -> `embedding` (B, 6), `features` (B, 9), and its hash beside it.

    The embedding is a fixed projection of the mean colours and a constant; half of the features
    are the embedding, so that both tell bright faces from dark ones.
    """
    writer = OnnxWriter()
    planes = writer.add("Transpose", ["rgb"], perm=[0, 3, 1, 2])
    scaled = writer.add("Mul", [planes, writer.constant(1 / 255)])
    colours = writer.pool(scaled)
    rng = np.random.default_rng(0)
    matrix, shift = rng.standard_normal((3, WIDTH)), rng.standard_normal(WIDTH)
    writer.add("Gemm", [colours, writer.constant(matrix), writer.constant(shift)], "embedding")
    writer.add("Concat", ["embedding", colours], "features", axis=1)
    outputs = {"embedding": ("batch", WIDTH), "features": ("batch", FEATURES)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(writer.model("rgb", ("batch", SIDE, SIDE, 3), outputs))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    hash_file_of(path).write_text(f"{digest}  {path.name}\n")
    return path


def write_heads(path: Path, reads: str, width: int) -> Path:
    """Heads (B, width) -> age by softmax, gender, ethnicity; of fixed random weights."""
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(1)
    nodes, outputs, constants = [], [], []
    for name, classes in {"age": 101, "gender": 2, "race": 5}.items():
        matrix = rng.standard_normal((width, classes)).astype(np.float32)
        constants.append(numpy_helper.from_array(matrix, f"{name}_matrix"))
        nodes.append(helper.make_node("MatMul", [reads, f"{name}_matrix"], [f"{name}_logits"]))
        nodes.append(helper.make_node("Softmax", [f"{name}_logits"], [name], axis=-1))
        outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", classes]))
    vectors = helper.make_tensor_value_info(reads, TensorProto.FLOAT, ["n", width])
    graph = helper.make_graph(nodes, "heads", [vectors], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path
