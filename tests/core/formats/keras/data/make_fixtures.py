#!/usr/bin/env python3
"""Makes the files of this folder: models that Keras 3 and Keras 2 trained, and what they predict.

Run it with a Python that has keras, tf_keras and h5py.
"""
import json
import os

import keras
import numpy as np
import tf_keras

here = os.path.dirname(os.path.abspath(__file__))
random = np.random.default_rng(4)
x = random.normal(0, 1, (8, 4)).astype("float32")
y = np.abs(x[:, :1]) > 0.7


def train(model, path):
    model.compile("adam", "binary_crossentropy")
    model.fit(x, y.astype("float32"), epochs=3, batch_size=4, verbose=0)
    model.save(os.path.join(here, path))
    return np.asarray(model(x)).ravel().tolist()


keras.utils.set_random_seed(1)
inputs = keras.Input((4,))
deep = keras.layers.Dense(4, activation="tanh", name="deep")(inputs)
new = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(keras.layers.Add()([inputs, deep])))
old = tf_keras.Sequential([tf_keras.layers.Dense(3, activation="relu", input_shape=(4,)), tf_keras.layers.Dense(1, activation="sigmoid")])
expected = {"features": x.ravel().tolist(), "keras3.keras": train(new, "keras3.keras"), "keras2.h5": train(old, "keras2.h5")}
with open(os.path.join(here, "expected.json"), "w") as file:
    json.dump(expected, file)
