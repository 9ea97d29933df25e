"""Loads SavedModels by everything that takes them, and compares predictions.

judge.py FOLDER CHECKS: each folder in FOLDER has a SavedModel "model", and "tensors.txt" with a line
"NAME KEY DTYPE SIZE…" for each input and expected output, whose bytes are in NAME.raw. CHECKS: "all",
or some of load,batch,v1,cli,lite,tfsm,resave with commas between. Exit code 77: a module is missing.
"""

import contextlib
import io
import os
import shutil
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
try:
    import keras
    import numpy as np
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter
    from tensorflow.python.tools import saved_model_cli
except ImportError as error:
    print(error)
    sys.exit(77)

DTYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u8": np.uint8,
          "bool": np.bool_, "f16": np.float16, "bf16": tf.bfloat16.as_numpy_dtype}
TOLERANCE = 1e-5


class Case:
    def __init__(self, folder):
        self.folder = folder
        self.model = os.path.join(folder, "model")
        self.inputs, self.outputs = {}, {}
        with open(os.path.join(folder, "tensors.txt")) as lines:
            for line in lines:
                name, key, dtype, *sizes = line.split()
                values = np.fromfile(os.path.join(folder, name + ".raw"), DTYPES[dtype])
                values = values.reshape([int(size) for size in sizes])
                (self.inputs if name.startswith("input") else self.outputs)[key] = values

    def differs(self, found, rows=slice(None)):
        """The largest difference of outputs by key; all rows, or some."""
        assert set(found) == set(self.outputs), f"outputs {sorted(found)}"
        worst = 0.0
        for key, expected in self.outputs.items():
            values, wanted = np.asarray(found[key]), expected[rows]
            assert values.shape == wanted.shape, f"{key}: {values.shape}, not {wanted.shape}"
            assert values.dtype == wanted.dtype, f"{key}: {values.dtype}, not {wanted.dtype}"
            if values.size == 0:
                continue
            values, wanted = values.astype(np.float64), wanted.astype(np.float64)
            same = (values == wanted) | (np.isnan(values) & np.isnan(wanted))
            worst = max(worst, float(np.max(np.where(same, 0, np.abs(values - wanted)))))
        return worst

    def by_key(self, found):
        """Outputs that a call gave in the model's order."""
        if not isinstance(found, (list, tuple)):
            found = [found]
        return dict(zip(self.outputs, found, strict=True))

    def arguments(self):
        values = [tf.constant(value) for value in self.inputs.values()]
        return values[0] if len(values) == 1 else values


def check_load(case):
    loaded = tf.saved_model.load(case.model)
    signature = loaded.signatures["serving_default"]
    tensors = {key: tf.constant(value) for key, value in case.inputs.items()}
    yield "signature", case.differs(signature(**tensors))
    yield "call", case.differs(case.by_key(loaded(case.arguments())))
    yield "serve", case.differs(case.by_key(loaded.serve(case.arguments())))
    names = {variable.name.split(":")[0] for variable in loaded.variables}
    assert len(names) == len(loaded.variables), "names of variables"
    assert len(loaded.trainable_variables) <= len(loaded.variables)
    reader = tf.train.load_checkpoint(os.path.join(case.model, "variables", "variables"))
    assert len(reader.get_variable_to_shape_map()) == len(loaded.variables) + 1, "keys of the bundle"


def check_batch(case):
    signature = tf.saved_model.load(case.model).signatures["serving_default"]
    for batch in (1, 3):
        part = {key: tf.constant(value[:batch]) for key, value in case.inputs.items()}
        yield f"batch of {batch}", case.differs(signature(**part), slice(0, batch))


def check_resave(case):
    loaded = tf.saved_model.load(case.model)
    again = os.path.join(case.folder, "again")
    tf.saved_model.save(loaded, again, signatures=loaded.signatures)
    signature = tf.saved_model.load(again).signatures["serving_default"]
    tensors = {key: tf.constant(value) for key, value in case.inputs.items()}
    yield "saved again", case.differs(signature(**tensors))
    shutil.rmtree(again)


def saver_has_variables(meta_graph):
    return any(node.op == "SaveV2" for node in meta_graph.graph_def.node)


def check_v1(case):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        meta_graph = tf.compat.v1.saved_model.load(session, ["serve"], case.model)
        signature = meta_graph.signature_def["serving_default"]
        fed = {signature.inputs[key].name: value for key, value in case.inputs.items()}
        fetched = {key: info.name for key, info in signature.outputs.items()}
        yield "session", case.differs(session.run(fetched, fed))
        saver = tf.compat.v1.train.Saver(saver_def=meta_graph.saver_def)
        if saver_has_variables(meta_graph):
            os.makedirs(os.path.join(case.folder, "v1"), exist_ok=True)
            prefix = os.path.join(case.folder, "v1", "variables")
            saver.save(session, prefix, write_meta_graph=False)
            assert tf.train.load_checkpoint(prefix).get_variable_to_shape_map(), "saved variables"


def run_cli(*arguments):
    out = io.StringIO()
    argv, sys.argv = sys.argv, ["saved_model_cli", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            saved_model_cli.main()
    except SystemExit as end:  # as a program ends
        assert not end.code, f"saved_model_cli {arguments[0]}: {end.code}: {out.getvalue()}"
    finally:
        sys.argv = argv
    return out.getvalue()


def check_cli(case):
    shown = run_cli("show", "--dir", case.model, "--all")
    assert "signature_def['serving_default']" in shown, shown
    for key in case.inputs:
        assert f"inputs['{key}']" in shown, shown
    given = []
    for key, value in case.inputs.items():
        np.save(os.path.join(case.folder, key + ".npy"), value)
        given.append(f"{key}={case.folder}/{key}.npy")
    results = os.path.join(case.folder, "cli")
    run_cli("run", "--dir", case.model, "--tag_set", "serve", "--signature_def", "serving_default",
            "--inputs", ";".join(given), "--outdir", results, "--overwrite")
    found = {key: np.load(os.path.join(results, key + ".npy")) for key in case.outputs}
    yield "cli", case.differs(found)


def check_lite(case):
    converter = tf.lite.TFLiteConverter.from_saved_model(case.model)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    interpreter = Interpreter(model_content=converter.convert())
    runner = interpreter.get_signature_runner("serving_default")
    for batch in (1, len(next(iter(case.inputs.values())))):
        part = {key: value[:batch] for key, value in case.inputs.items()}
        yield f"lite, batch of {batch}", case.differs(runner(**part), slice(0, batch))


def check_tfsm(case):
    endpoints = ["serve"] + (["serving_default"] if len(case.inputs) == 1 else [])
    for endpoint in endpoints:
        layer = keras.layers.TFSMLayer(case.model, call_endpoint=endpoint)
        found = layer(case.arguments())
        if not isinstance(found, dict):
            found = case.by_key(found)
        yield f"TFSMLayer {endpoint}", case.differs(found)
        loaded = tf.saved_model.load(case.model)
        assert len(layer.trainable_weights) == len(loaded.trainable_variables), "trainable weights"


CHECKS = {"load": check_load, "batch": check_batch, "resave": check_resave, "v1": check_v1, "cli": check_cli,
          "lite": check_lite, "tfsm": check_tfsm}


def main():
    folder, wanted = sys.argv[1:3]
    names = list(CHECKS) if wanted == "all" else wanted.split(",")
    failures = 0
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.is_dir():
            continue
        case = Case(entry.path)
        for name in names:
            try:
                for what, difference in CHECKS[name](case):
                    good = difference <= TOLERANCE
                    failures += not good
                    print(f"{entry.name}: {what}: {difference:.1e}{'' if good else ' FAILED'}")
            except Exception as error:  # of whatever kind: the next model is tried, too
                failures += 1
                print(f"{entry.name}: {name}: FAILED: {type(error).__name__}: {str(error)[:1500]}")
    print(f"{failures} checks failed")  # the last line says that all were tried
    sys.exit(1 if failures else 0)


main()
