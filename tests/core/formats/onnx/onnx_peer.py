"""Checks ONNX files and runs them in onnxruntime: onnx_peer.py FOLDER.

For each FOLDER/NAME.onnx and each FOLDER/NAME.*.safetensors beside it, of tensors "in/INPUT" and "out/OUTPUT": prints a line
"NAME FILE OUTPUT DIFFERENCE", the largest absolute difference between the file's outputs and onnxruntime's. Exit code 77: there
are no such modules."""
import glob
import os
import sys

try:
    import numpy as np
    import onnx
    import onnxruntime
    from safetensors.numpy import load_file
except ImportError as error:
    print(error, file=sys.stderr)
    sys.exit(77)

failed = 0
for path in sorted(glob.glob(os.path.join(sys.argv[1], "*.onnx"))):
    name = os.path.basename(path)[: -len(".onnx")]
    try:
        onnx.checker.check_model(path, full_check=True)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for tensors in sorted(glob.glob(path[: -len("onnx")] + "*.safetensors")):
            values = load_file(tensors)
            feeds = {key[3:]: value for key, value in values.items() if key.startswith("in/")}
            outputs = [key[4:] for key in values if key.startswith("out/")]
            for output, found in zip(outputs, session.run(outputs, feeds)):
                expected = values["out/" + output]
                if found.shape != expected.shape or found.dtype != expected.dtype:
                    raise ValueError(f"{output}: {found.dtype}{found.shape}, expected {expected.dtype}{expected.shape}")
                difference = np.max(np.abs(found.astype(np.float64) - expected.astype(np.float64)), initial=0.0)
                print(name, os.path.basename(tensors), output, difference)
    except Exception as error:  # of any module: the others are looked at, too
        print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
        failed = 1
sys.exit(failed)
