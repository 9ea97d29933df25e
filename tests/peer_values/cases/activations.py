"""Every function of keras.activations that our activation layer has, on both sides of its kinks."""
import numpy as np

import peer

# Ours, and Keras's name where it is another.
FUNCTIONS = {
    "none": "linear", "relu": None, "sigmoid": None, "tanh": None, "softmax": None, "log_softmax": None,
    "log_sigmoid": None, "softplus": None, "softsign": None, "elu": None, "celu": None, "selu": None,
    "leaky_relu": None, "relu6": None, "gelu": None, "silu": None, "mish": None, "exponential": None,
    "hard_sigmoid": None, "hard_silu": None, "hard_tanh": None, "hard_shrink": None, "soft_shrink": None,
    "tanh_shrink": None, "squareplus": None, "sparse_plus": None, "sparse_sigmoid": None, "glu": None,
}


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def cases():
    import keras

    x = (np.linspace(-8, 8, 32) + 0.03).astype(np.float32).reshape(4, 8)
    made = []
    for ours, theirs in FUNCTIONS.items():
        function = getattr(keras.activations, theirs or ours)
        layer = keras.layers.Activation(function)
        made.append(peer.layer_case(ours, f"activation {{ function: {ours.upper()} }}", layer, [x]))
    approximate = keras.layers.Activation(lambda x: keras.activations.gelu(x, approximate=True))
    made.append(peer.layer_case("gelu_tanh", "activation { function: GELU_TANH }", approximate, [x]))
    return made
