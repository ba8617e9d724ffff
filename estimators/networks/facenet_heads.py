"""Small networks from a face's vectors to age, gender and ethnicity.

`published` is the network published for FaceNet's 512 numbers; `modern` uses the wider vector
below them as well as it can. Both are trained in minutes on a CPU.
"""

from typing import TYPE_CHECKING, Any

from estimators.networks.heads import Heads, add_heads, make_dropout

if TYPE_CHECKING:
    import keras

NETWORKS = ("modern", "published")
_TRUNK, _HEAD = 512, 768  # units of the published network


def build_published(vector: str, width: int, heads: Heads, l2: float) -> "keras.Model":
    """Build a dense layer of 512 units, and one of 768 of its own for each head.

    The model maps `vector`, (B, width), -> dict of `age`, `gender` and perhaps `race`.
    `heads.hidden` is ignored and `heads.dropout` is that of every layer; `l2` times the squares
    of all kernels is added to the loss.
    """
    import keras
    from keras import layers

    def dense(x: Any, units: int, name: str) -> Any:
        penalty = keras.regularizers.L2(l2) if l2 else None
        x = layers.Dense(units, activation="relu", kernel_regularizer=penalty, name=name)(x)
        return make_dropout(heads.dropout, f"{name}_dropout")(x) if heads.dropout else x

    vectors = keras.Input((width,), name=vector)
    trunk = dense(vectors, _TRUNK, "trunk")
    outputs = {}
    for name, classes in heads.widths().items():
        hidden = dense(trunk, _HEAD, f"{name}_hidden")
        outputs[name] = layers.Dense(classes, activation="softmax", name=name)(hidden)
    return keras.Model(vectors, outputs, name="facenet_published")


def build_modern(
    vector: str, width: int, heads: Heads, blocks: int, input_dropout: float
) -> "keras.Model":
    """Build `blocks` residual layers with LayerNorm and SiLU on standardised inputs.

    Args:
        vector: name of the input.
        width: of the input.
        heads: which; `hidden` is the width of all layers.
        blocks: at least 1; the first has no residual connection.
        input_dropout: share of the input dropped in training.

    Returns:
        As `build_published`. The layer `standardise` must be given the vectors' mean and
        variance; training never changes it.
    """
    import keras
    from keras import layers

    vectors = keras.Input((width,), name=vector)
    # Not `layers.Normalization`: the ONNX export would turn its numbers into inputs.
    x = layers.BatchNormalization(center=False, scale=False, name="standardise", trainable=False)(
        vectors
    )
    for block in range(1, blocks + 1):
        share = heads.dropout if block > 1 else input_dropout
        y = make_dropout(share, f"drop{block}")(x) if share else x
        y = layers.Dense(heads.hidden, name=f"dense{block}")(y)
        y = layers.LayerNormalization(name=f"norm{block}")(y)
        y = layers.Activation("silu", name=f"silu{block}")(y)
        x = layers.Add(name=f"sum{block}")([x, y]) if block > 1 else y
    if heads.dropout:
        x = make_dropout(heads.dropout, "drop")(x)
    outputs = add_heads(x, Heads(heads.age, heads.ethnicity))
    return keras.Model(vectors, outputs, name="facenet_modern")
