#!/usr/bin/env python3
"""Keras as the judge of whole models: judge.py FOLDER COMMAND.

predict  Loads each NAME.keras, NAME.h5 and NAME.weights.h5 in FOLDER, compares what it predicts of
         the features NAME.in.N with NAME.out.N, and saves the models again as NAME.again.keras and
         NAME.again.h5.
make     Makes the models of layer_cases.py: NAME.keras, NAME.in.N and NAME.out.N.
make2    Likewise, NAME.h5 of Keras 2 of those of keras2_cases.py.
check    Loads each NAME.ours.keras, which was made of NAME.keras, and compares what it predicts and
         the configurations of its layers.
train    Trains the models of training_cases.py for two epochs, saves each as NAME.keras, and trains on
         for a batch each step: the losses go to NAME.losses.json.
follow   Loads NAME.ours.keras and trains on likewise; compares the losses with NAME.ours.json.
Differences go to FOLDER/differences.json: numbers, or what is wrong. Exits with 77 where there is
no Keras.
"""
import glob
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
try:
    import keras
    import numpy as np
except ImportError:
    sys.exit(77)

DTYPES = {"f32": np.float32, "i64": np.int64, "i32": np.int32}


def read_tensors(stem):
    """The tensors STEM.0, STEM.1 …: a line of JSON with dtype and shape, then the numbers."""
    tensors = []
    while os.path.exists(f"{stem}.{len(tensors)}"):
        with open(f"{stem}.{len(tensors)}", "rb") as file:
            head = json.loads(file.readline())
            values = np.frombuffer(file.read(), DTYPES[head["dtype"]])
        tensors.append(values.reshape(head["shape"]))
    return tensors


def write_tensors(stem, tensors):
    for i, tensor in enumerate(tensors):
        dtype = "i64" if np.issubdtype(tensor.dtype, np.integer) else "f32"
        with open(f"{stem}.{i}", "wb") as file:
            file.write(json.dumps({"dtype": dtype, "shape": tensor.shape}).encode() + b"\n")
            file.write(np.ascontiguousarray(tensor, DTYPES[dtype]).tobytes())


def predict_one(model, features):
    outputs = model(features if len(features) > 1 else features[0], training=False)
    return [np.asarray(x) for x in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]


def difference(outputs, expected):
    if [x.shape for x in outputs] != [x.shape for x in expected]:
        return float("inf")
    return max(float(np.max(np.abs(a - b))) for a, b in zip(outputs, expected))


def told(error):
    return f"{type(error).__name__}: {error}"[:3000]


def predict(folder):
    differences = {}
    for path in sorted(glob.glob(f"{folder}/*.keras")):
        stem = path[: -len(".keras")]
        name = os.path.basename(stem)
        if "." in name:
            continue
        features, expected = read_tensors(f"{stem}.in"), read_tensors(f"{stem}.out")
        model = None
        for ending in (".keras", ".h5", ".weights.h5"):
            try:
                if ending == ".weights.h5":
                    for variable in model.weights:
                        variable.assign(np.zeros(variable.shape) + 0.5)
                    model.load_weights(stem + ending)
                else:
                    model = keras.models.load_model(stem + ending)
                differences[name + ending] = difference(predict_one(model, features), expected)
            except Exception as error:  # what Keras says is what the test shows
                differences[name + ending] = told(error)
        if model is not None:
            model.save(f"{stem}.again.keras")
            model.save(f"{stem}.again.h5")
    return differences


def make(folder):
    import layer_cases

    random = np.random.default_rng(1)
    np.random.seed(1)
    for name, model in layer_cases.cases():
        for variable in model.weights:
            values = random.uniform(0.3, 1.0, variable.shape) * random.choice([-1, 1], variable.shape)
            values = np.abs(values) if "variance" in variable.path else values
            variable.assign(values)
        features = []
        for given in model.inputs:
            shape = (3,) + tuple(given.shape[1:])
            is_key = "int" in given.dtype or any(
                isinstance(layer, keras.layers.Embedding) for layer in model.layers)
            features.append(random.integers(0, 12, shape) if is_key else random.normal(0, 1, shape).astype("float32"))
        if name == "masking":
            features[0][1, 4:] = 0
        write_tensors(f"{folder}/{name}.in", features)
        write_tensors(f"{folder}/{name}.out", predict_one(model, features))
        model.save(f"{folder}/{name}.keras")
        model.save(f"{folder}/{name}.h5")
    return {}


def make2(folder):
    try:
        import keras2_cases
    except ImportError:
        sys.exit(77)
    random = np.random.default_rng(1)
    for name, model, shapes in keras2_cases.cases():
        is_key = [i == len(shapes) - 1 and any(isinstance(layer, keras2_cases.L.Embedding) for layer in model.layers) for i in range(len(shapes))]
        features = [random.integers(0, 12, (3,) + shape) if key else random.normal(0, 1, (3,) + shape).astype("float32")
                    for shape, key in zip(shapes, is_key)]
        given = features if len(features) > 1 else features[0]
        outputs = model(given)
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        model.compile("adam", loss="mse")
        model.fit(given, [np.asarray(x) + 1 for x in outputs], verbose=0)
        write_tensors(f"{folder}/{name}.in", features)
        write_tensors(f"{folder}/{name}.out", predict_one(model, features))
        model.save(f"{folder}/{name}.h5")
    return {}


def plain(config):
    """Without what has no meaning beyond a process, and lists for tuples."""
    if isinstance(config, dict):
        dropped = ("shared_object_id", "build_config", "seed", "name", "dtype")
        return {key: plain(value) for key, value in config.items() if key not in dropped}
    if isinstance(config, (list, tuple)):
        return [plain(value) for value in config]
    return config


def check(folder):
    differences = {}
    for path in sorted(glob.glob(f"{folder}/*.ours.keras")):
        stem = path[: -len(".ours.keras")]
        name = os.path.basename(stem)
        try:
            model = keras.models.load_model(path)
            expected = keras.models.load_model(stem + ".keras")
            outputs = predict_one(model, read_tensors(f"{stem}.in"))
            differences[name] = difference(outputs, read_tensors(f"{stem}.out"))
            for layer in expected.layers:
                if isinstance(layer, (keras.layers.InputLayer, keras.Model)):
                    continue
                ours = plain(keras.saving.serialize_keras_object(model.get_layer(layer.name))["config"])
                theirs = plain(keras.saving.serialize_keras_object(layer)["config"])
                wrong = {key: (ours.get(key), value) for key, value in theirs.items() if ours.get(key) != value}
                if wrong:
                    differences[name] = f"{layer.name}: (ours, Keras's): {wrong}"
        except Exception as error:  # what Keras says is what the test shows
            differences[name] = told(error)
    return differences


def go_on(model, features, labels, batch):
    losses = []
    for begin in range(0, len(features), batch):
        model.reset_metrics()
        part = slice(begin, begin + batch)
        losses.append(float(model.train_on_batch(features[part], labels[part], return_dict=True)["loss"]))
    return losses


def train(folder):
    import training_cases

    keras.utils.set_random_seed(3)
    for name, model, features, labels in training_cases.cases():
        model.fit(features[:64], labels[:64], epochs=2, batch_size=training_cases.BATCH, verbose=0)
        model.save(f"{folder}/{name}.keras")
        write_tensors(f"{folder}/{name}.in", [features])
        write_tensors(f"{folder}/{name}.labels", [labels])
        with open(f"{folder}/{name}.losses.json", "w") as file:
            json.dump(go_on(model, features, labels, training_cases.BATCH), file)
    return {}


def follow(folder):
    differences = {}
    for path in sorted(glob.glob(f"{folder}/*.ours.keras")):
        stem = path[: -len(".ours.keras")]
        name = os.path.basename(stem)
        try:
            model = keras.models.load_model(path)
            model.run_eagerly = True  # a few steps: tracing them takes longer
            with open(f"{stem}.ours.json") as file:
                expected = json.load(file)
            features, labels = read_tensors(f"{stem}.in")[0], read_tensors(f"{stem}.labels")[0]
            losses = go_on(model, features, labels, len(features) // len(expected))
            differences[name] = max(abs(a - b) for a, b in zip(losses, expected))
        except Exception as error:  # what Keras says is what the test shows
            differences[name] = told(error)
    return differences


if __name__ == "__main__":
    found = {"predict": predict, "make": make, "make2": make2, "check": check, "train": train, "follow": follow}[sys.argv[2]](sys.argv[1])
    with open(f"{sys.argv[1]}/differences.json", "w") as result:
        json.dump(found, result)
