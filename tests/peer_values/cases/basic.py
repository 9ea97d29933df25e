"""The layers, losses and optimizers that were there first."""
import numpy as np

from peer import layer_case, loss_case, random, tensor, tensors


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def cases():
    import keras

    r = random(7)
    image = r.normal(size=(2, 6, 5, 3)).astype(np.float32)
    rows = r.normal(size=(4, 6)).astype(np.float32)
    kernel_bias = ("kernel", "bias")
    found = [
        layer_case("dense", "dense { units: 3 activation: TANH }", keras.layers.Dense(3, "tanh"), [rows], kernel_bias),
        layer_case("conv2d", "conv2d { filters: 4 kernel_height: 3 kernel_width: 2 stride_height: 2 stride_width: 1 padding: SAME }",
                   keras.layers.Conv2D(4, (3, 2), (2, 1), "same"), [image], kernel_bias),
        layer_case("max_pool2d", "max_pool2d {}", keras.layers.MaxPooling2D(), [image]),
        layer_case("avg_pool2d", "avg_pool2d { window: 3 stride: 2 padding: SAME }",
                   keras.layers.AveragePooling2D(3, 2, "same"), [image]),
        layer_case("batch_norm_inference", "batch_norm {}", keras.layers.BatchNormalization(), [image],
                   ("gamma", "beta", "moving_mean", "moving_variance")),
        layer_case("batch_norm_training", "batch_norm {}", keras.layers.BatchNormalization(), [image],
                   ("gamma", "beta", "moving_mean", "moving_variance"), training=True, tolerance=5e-5),
        layer_case("layer_norm", "layer_norm {}", keras.layers.LayerNormalization(), [rows], ("gamma", "beta"),
                   tolerance=5e-5),
    ]
    sequence = r.normal(size=(2, 5, 3)).astype(np.float32)
    found += [
        layer_case("einsum_dense", 'einsum_dense { equation: "abc,cde->abde" output_shape: [-1, 2, 4] bias_axes: "de" }',
                   keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de"), [sequence], kernel_bias),
        layer_case("einsum_dense_of_steps",
                   'einsum_dense { equation: "abc,bd->adc" output_shape: [4, 3] bias_axes: "d" activation: RELU }',
                   keras.layers.EinsumDense("abc,bd->adc", (4, 3), "relu", bias_axes="d"), [sequence], kernel_bias),
        layer_case("activity_regularization", "activity_regularization { l1: 0.1 l2: 0.2 }",
                   keras.layers.ActivityRegularization(0.1, 0.2), [rows]),
    ]
    logits = r.normal(size=(5, 4)).astype(np.float32)
    labels = np.array([0, 3, 1, 2, 2], np.int64)
    found.append(loss_case("sparse_categorical_cross_entropy", "sparse_categorical_cross_entropy {}",
                           lambda y, p: keras.losses.sparse_categorical_crossentropy(y, p, from_logits=True), logits,
                           labels))
    found.append({"kind": "metric", "name": "accuracy", "text": "accuracy {}",
                  "loss": "sparse_categorical_cross_entropy {}",
                  "batches": [{"predictions": tensor(logits), "labels": tensor(labels)}],
                  "value": float(np.mean(logits.argmax(1) == labels))})
    start = {"w": r.normal(size=(3, 2)).astype(np.float32), "b": r.normal(size=(2,)).astype(np.float32)}
    steps = [{n: r.normal(size=v.shape).astype(np.float32) for n, v in start.items()} for _ in range(5)]
    variables = {n: keras.Variable(v) for n, v in start.items()}
    optimizer = keras.optimizers.Adam(0.1)
    after = []
    for gradients in steps:
        optimizer.apply([gradients[n] for n in start], [variables[n] for n in start])
        after.append(tensors({n: v.numpy() for n, v in variables.items()}))
    found.append({"kind": "optimizer", "name": "adam", "text": "adam {} learning_rate: 0.1",
                  "variables": tensors(start), "gradients": [tensors(g) for g in steps], "after": after})
    return found
