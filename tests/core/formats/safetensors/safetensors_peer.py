"""Reads and writes safetensors files with the library of that name: safetensors_peer.py OURS THEIRS.

Prints the metadata and the tensors of OURS, and writes the same tensors to THEIRS. Exit code 77: there is no such library."""
import sys

try:
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import save_file
except ImportError:
    sys.exit(77)

ours, theirs = sys.argv[1:]
with safe_open(ours, framework="np") as file:
    metadata = file.metadata()
    tensors = {name: file.get_tensor(name) for name in file.keys()}
for name in sorted(tensors):
    print(name, tensors[name].dtype, list(tensors[name].shape), repr(float(tensors[name].astype(np.float64).sum())))
print(metadata["trireme.job"])
save_file(tensors, theirs, metadata=metadata)
