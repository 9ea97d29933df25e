"""Reads with TensorFlow, Keras, ONNX Runtime and others what `trireme convert` wrote, and writes files for it to read.

judge.py FOLDER: FOLDER/models.json names the models; results go to FOLDER/results.json. A cell is the largest difference
of a prediction from Trireme's, or the sentence that says what failed.
"""
import json
import os
import sys
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

try:
    import ai_edge_litert.interpreter as litert
    import h5py  # noqa: F401
    import keras
    import onnxruntime
    import safetensors.numpy as safetensors
    import tensorflow as tf
except ImportError as missing:
    print(f"no Python package {missing.name}", file=sys.stderr)
    sys.exit(77)

import networks


class Case:
    """A model with the features of some examples and what Trireme gives for them."""

    def __init__(self, folder, model):
        self.folder = os.path.join(folder, model["name"])
        self.name = model["name"]
        self.inputs = model["inputs"]
        self.outputs = model["outputs"]
        tensors = safetensors.load_file(os.path.join(self.folder, "examples.safetensors"))
        self.features = [tensors[f"feature_{i}"] for i in range(len(self.inputs))]
        self.expected = [tensors[f"output_{i}"] for i in range(len(self.outputs))]

    def path(self, name):
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            raise FileNotFoundError(f"{name} was not written")
        return path

    def by_name(self):
        return dict(zip(self.inputs, self.features))

    def difference(self, outputs):
        """The largest one; `outputs`: a tensor, a list in our order, or a mapping by our names of outputs."""
        if isinstance(outputs, dict):
            if len(outputs) == len(self.outputs) == 1:
                outputs = list(outputs.values())
            else:
                outputs = [outputs[name] for name in self.outputs]
        elif not isinstance(outputs, (list, tuple)):
            outputs = [outputs]
        if len(outputs) != len(self.expected):
            raise ValueError(f"{len(outputs)} outputs, expected {len(self.expected)}")
        largest = 0.0
        for found, expected in zip(outputs, self.expected):
            found = np.asarray(found, dtype=np.float64)
            if found.shape != expected.shape:
                raise ValueError(f"output of shape {found.shape}, expected {expected.shape}")
            if not np.isfinite(found).all():
                raise ValueError("an output is not finite")
            largest = max(largest, float(np.abs(found - expected).max()))
        return largest


def feeds(case, names):
    """Features by the names that a signature has, which are ours, or the only one."""
    names = list(names)
    if len(names) == 1 and len(case.features) == 1:
        return {names[0]: case.features[0]}
    return {name: case.by_name()[name] for name in names}


def saved_model(case):
    loaded = tf.saved_model.load(case.path("ours_saved_model"))
    function = loaded.signatures["serving_default"]
    inputs = feeds(case, function.structured_input_signature[1])
    return case.difference(function(**{name: tf.constant(value) for name, value in inputs.items()}))


def tf1_loader(case):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta = tf.compat.v1.saved_model.loader.load(session, ["serve"], case.path("ours_saved_model"))
        signature = meta.signature_def["serving_default"]
        inputs = feeds(case, signature.inputs)
        return case.difference(session.run({name: info.name for name, info in signature.outputs.items()},
                                           {signature.inputs[name].name: value for name, value in inputs.items()}))


def lite(case):
    converter = tf.lite.TFLiteConverter.from_saved_model(case.path("ours_saved_model"))
    interpreter = litert.Interpreter(model_content=converter.convert())
    runner = interpreter.get_signature_runner("serving_default")
    return case.difference(runner(**feeds(case, runner.get_input_details())))


def tfsm_layer(case):
    # The layer takes one argument; several inputs are a list, which a signature does not take.
    if len(case.features) == 1:
        layer = keras.layers.TFSMLayer(case.path("ours_saved_model"), call_endpoint="serving_default")
        return case.difference(layer(case.features[0]))
    layer = keras.layers.TFSMLayer(case.path("ours_saved_model"), call_endpoint="serve")
    return case.difference(layer([tf.constant(value) for value in case.features]))


def called(model, case):
    features = case.features[0] if len(case.features) == 1 else case.features
    return model(features, training=False)


def keras_file(case):
    return case.difference(called(keras.models.load_model(case.path("ours.keras"), compile=False), case))


def keras_h5(case):
    return case.difference(called(keras.models.load_model(case.path("ours.h5"), compile=False), case))


def keras_weights(case):
    model = keras.models.load_model(case.path("ours.keras"), compile=False)
    for variable in model.variables:
        variable.assign(keras.ops.zeros_like(variable))
    model.load_weights(case.path("ours.weights.h5"))
    return case.difference(called(model, case))


def onnx(case):
    session = onnxruntime.InferenceSession(case.path("ours.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, feeds(case, [one.name for one in session.get_inputs()]))
    names = [one.name for one in session.get_outputs()]
    return case.difference(dict(zip(names, found)) if len(names) > 1 else found)


def safetensors_file(case):
    """Our names for the variables of a network that Keras has built; nothing may be left over."""
    model = networks.BUILDERS[case.name]()
    values = {name: value for name, value in safetensors.load_file(case.path("ours.safetensors")).items()
              if not name.startswith("optimizer/")}
    for name, variable, _ in networks.names(case.name, model):
        variable.assign(values.pop(name).reshape(variable.shape))
    if values:
        raise ValueError(f"no variable for {sorted(values)[0]}")
    return case.difference(called(model, case))


READERS = {
    "`saved_model.load`": saved_model,
    "TF1 loader": tf1_loader,
    "TFLite, LiteRT": lite,
    "`TFSMLayer`": tfsm_layer,
    "`.keras`": keras_file,
    "`.weights.h5`": keras_weights,
    "legacy `.h5`": keras_h5,
    "ONNX Runtime": onnx,
    "safetensors": safetensors_file,
}


def write_theirs(case):
    """The network as Keras's users write it, with weights of its own, in all of Keras's files."""
    model = networks.BUILDERS[case.name]()
    random = np.random.default_rng(7)
    for variable in model.variables:
        if "seed" in variable.path:
            continue
        shape = tuple(variable.shape)
        if variable.path.endswith("variance"):
            value = random.uniform(0.5, 1.5, shape)
        else:
            fan_in = max(1, int(np.prod(shape[:-1]))) if len(shape) > 1 else 12
            value = random.uniform(-1, 1, shape) * np.sqrt(3.0 / fan_in)
        variable.assign(value.astype(np.float32))
    outputs = called(model, case)
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    safetensors.save_file({f"output_{i}": np.ascontiguousarray(value, dtype=np.float32)
                           for i, value in enumerate(outputs)}, os.path.join(case.folder, "theirs.expected"))
    at = lambda name: os.path.join(case.folder, name)
    failures = {}
    named = {name: np.ascontiguousarray(np.asarray(variable).reshape(shape))
             for name, variable, shape in networks.names(case.name, model)}
    for name, write in {
            "theirs.keras": lambda: model.save(at("theirs.keras")),
            "theirs.weights.h5": lambda: model.save_weights(at("theirs.weights.h5")),
            "theirs.h5": lambda: model.save(at("theirs.h5")),
            "theirs_saved_model": lambda: networks.for_inference(model).export(at("theirs_saved_model"), verbose=False),
            "theirs.safetensors": lambda: safetensors.save_file(named, at("theirs.safetensors")),
    }.items():
        try:
            write()
        except Exception as error:  # pylint: disable=broad-except
            failures[name] = sentence(error)
    return failures


def sentence(error):
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:200]


def main(folder):
    with open(os.path.join(folder, "models.json"), encoding="utf-8") as file:
        models = json.load(file)
    results = {"theirs": {}, "ours": {}}
    for model in models:
        case = Case(folder, model)
        cells = {}
        for name, read in READERS.items():
            try:
                cells[name] = read(case)
            except Exception as error:  # pylint: disable=broad-except
                cells[name] = sentence(error)
                if os.environ.get("TRIREME_MATRIX_TRACE"):
                    traceback.print_exc()
        results["ours"][case.name] = cells
        try:
            results["theirs"][case.name] = write_theirs(case)
        except Exception as error:  # pylint: disable=broad-except
            results["theirs"][case.name] = {"network": sentence(error)}
            if os.environ.get("TRIREME_MATRIX_TRACE"):
                traceback.print_exc()
    with open(os.path.join(folder, "results.json"), "w", encoding="utf-8") as file:
        json.dump(results, file)


if __name__ == "__main__":
    main(sys.argv[1])
