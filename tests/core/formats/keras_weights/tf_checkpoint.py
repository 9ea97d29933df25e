#!/usr/bin/env python3
"""TensorFlow's and Keras 2's side of tf_checkpoint_test.cc; arguments as of keras_weights.py."""
import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_USE_LEGACY_KERAS"] = "1"
try:
    import keras as keras3
    import numpy as np
    import tensorflow as tf
    import tf_keras as keras
except ImportError as error:
    print(error)
    sys.exit(77)


def build(keras):
    layers = keras.layers
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False), layers.BatchNormalization()], name="inner")
    model = keras.Sequential([keras.Input((3, 1)), layers.LSTM(1), layers.RepeatVector(2), layers.Flatten(), inner,
                              layers.Dense(1, name="first"), layers.Dense(2, name="second")], name="net")
    model.compile(keras.optimizers.SGD(0.125, momentum=0.5), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def values(index, shape):
    return (index + np.arange(int(np.prod(shape)), dtype=np.float32) / 16).reshape(shape)


def in_order(model):
    """The variables as keras_weights_test.cc counts them: layer by layer."""
    return [v for layer in model.layers for v in (layer.weights if layer.name != "inner" else
                                                  [w for part in layer.layers for w in part.weights])]


def state_of(optimizer):
    return [v for v in optimizer.variables if v is not optimizer.iterations and v is not optimizer._learning_rate]


def check(model, what, with_optimizer):
    for i, variable in enumerate(in_order(model)):
        np.testing.assert_array_equal(variable.numpy(), values(i, variable.shape), f"{what}: {variable.name}")
    if with_optimizer:
        assert int(model.optimizer.iterations) == 7, what
        assert float(model.optimizer.learning_rate) == 0.125, what
        for i, variable in enumerate(state_of(model.optimizer)):
            np.testing.assert_array_equal(variable.numpy(), values(100 + i, variable.shape), f"{what}: {variable.name}")


def numbered(model):
    for i, variable in enumerate(in_order(model)):
        variable.assign(values(i, variable.shape))
    model.optimizer.iterations.assign(7)
    for i, variable in enumerate(state_of(model.optimizer)):
        variable.assign(values(100 + i, variable.shape))
    return model


def make(folder):
    model = numbered(build(keras))
    model.save_weights(os.path.join(folder, "keras2"))
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(os.path.join(folder, "tracked"))
    model = build(keras)
    model.compile(keras.optimizers.legacy.SGD(0.125, momentum=0.5), "mse")
    model.optimizer._create_all_weights(model.trainable_variables)
    for i, variable in enumerate(in_order(model)):
        variable.assign(values(i, variable.shape))
    model.optimizer.iterations.assign(7)
    for i, variable in enumerate(model.trainable_variables):
        model.optimizer.get_slot(variable, "momentum").assign(values(100 + i, variable.shape))
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(os.path.join(folder, "slots"))
    model = numbered(build(keras3))
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(os.path.join(folder, "keras3"))
    if os.path.exists(os.path.join(folder, "checkpoint")):
        os.remove(os.path.join(folder, "checkpoint"))


def check_all(folder):
    prefix = os.path.join(folder, "ours")
    model = build(keras)
    model.load_weights(prefix)
    check(model, "load_weights", True)
    model = build(keras)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    checkpoint.restore(prefix).assert_existing_objects_matched()
    check(model, "restore", True)
    attention = keras.Model(*attend(keras))
    tf.train.Checkpoint(model=attention).restore(os.path.join(folder, "heads")).assert_existing_objects_matched()
    for i, variable in enumerate(attention.weights):
        np.testing.assert_array_equal(variable.numpy(), values(i, variable.shape), variable.name)


def attend(keras):
    x = keras.Input((3, 2))
    return x, keras.layers.MultiHeadAttention(1, 2, name="heads")(x, x)


if __name__ == "__main__":
    {"make": make, "check": check_all}[sys.argv[1]](sys.argv[2])
