#!/usr/bin/env python3
"""Keras's side of keras_weights_test.cc.

  make FOLDER    writes the committed fixtures
  check FOLDER   loads what Trireme wrote there; exits with 77 where there is no Keras"""
import os
import sys

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
try:
    import h5py
    import keras
    import numpy as np
except ImportError as error:
    print(error)
    sys.exit(77)

layers = keras.layers


def build():
    inner = keras.Sequential([keras.Input((2,)), layers.Dense(2, use_bias=False), layers.BatchNormalization()], name="inner")
    model = keras.Sequential([keras.Input((3, 1)), layers.LSTM(1), layers.RepeatVector(2), layers.Flatten(), inner,
                              layers.Dense(1, name="first"), layers.Dense(2, name="second")], name="net")
    model.compile(keras.optimizers.SGD(0.125, momentum=0.5), "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def values(index, shape):
    return (index + np.arange(int(np.prod(shape)), dtype=np.float32) / 16).reshape(shape)


def expected(model):
    """The model's weights and the optimizer's variables, numbered."""
    weights = [values(i, w.shape) for i, w in enumerate(model.weights)]
    state = [np.int64(7), np.float32(0.125)]
    state += [values(100 + i, w.shape) for i, w in enumerate(model.optimizer.variables[2:])]
    return weights, state


def check(model, with_optimizer, what):
    weights, state = expected(model)
    for variable, value in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, f"{what}: {variable.path}")
    if with_optimizer:
        for variable, value in zip(model.optimizer.variables, state, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value, f"{what}: {variable.path}")


def make(folder):
    model = build()
    weights, state = expected(model)
    model.set_weights(weights)
    for variable, value in zip(model.optimizer.variables, state):
        variable.assign(value)
    model.save_weights(os.path.join(folder, "net.weights.h5"))
    model.save(os.path.join(folder, "net.h5"))
    sharded = keras.Sequential([keras.Input((2,)), layers.Dense(2, name="a"), layers.Dense(2, name="b")])
    sharded.set_weights([values(i, w.shape) for i, w in enumerate(sharded.weights)])
    sharded.save_weights(os.path.join(folder, "sharded.weights.json"), max_shard_size=30e-9)
    sharded.get_layer("a").trainable = False
    bf16 = keras.Sequential([keras.Input((2,)), layers.Dense(2, dtype="bfloat16")])
    bf16.set_weights([np.array([[1.5, -2], [0.25, 3]]), np.array([1, 2])])
    bf16.save_weights(os.path.join(folder, "bf16.weights.h5"))


def check_all(folder):
    for name, with_optimizer in (("ours.weights.h5", True), ("ours.h5", False)):
        model = build()
        model.load_weights(os.path.join(folder, name))
        check(model, with_optimizer, name)
    bf16 = keras.Sequential([keras.Input((2,)), layers.Dense(2, dtype="bfloat16")])
    bf16.load_weights(os.path.join(folder, "bf16.weights.h5"))
    np.testing.assert_array_equal(np.float32(bf16.get_weights()[0]), [[1.5, -2], [0.25, 3]])
    with h5py.File(os.path.join(folder, "sample.h5")) as file:
        assert file.attrs["text"] == "häuser " * 20000 and file.attrs["empty"] == ""
        assert list(file.attrs["names"]) == ["a", "", "bü"] and len(file.attrs["none"]) == 0
        assert file.attrs["integer"] == -5 and file.attrs["number"] == 0.25
        for code in ("f2", "f4", "f8", "i4", "i8", "u1", "bool"):
            data = file["types/" + code]
            assert data.dtype == np.dtype(code), (code, data.dtype)
            np.testing.assert_array_equal(data[...].astype("f8"), np.array([[1, 0], [1, 1]]), code)
        assert file["types/scalar"][()] == 2.5 and file["types/none"].shape == (0, 3)
        assert [file[f"many/{i}"][()] for i in range(3000)] == list(range(3000))
        assert "member" in file["empty"].attrs


if __name__ == "__main__":
    {"make": make, "check": check_all}[sys.argv[1]](sys.argv[2])
