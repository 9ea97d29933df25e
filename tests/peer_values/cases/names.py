"""The public names that docs/coming-from-keras.md goes over."""
import inspect

# Functions and aliases in lower case are other names of the classes; what is inherited from a base
# class of Keras is not a name to look for.
_FAMILIES = ("layers", "optimizers", "losses", "metrics", "callbacks", "initializers", "regularizers", "constraints")
_SINGULAR = {"losses": "loss"}
_SAME = {"IdentityInitializer", "OrthogonalInitializer", "STFTInitializer"}


def made_with():
    import keras
    import tensorflow as tf

    return f"keras {keras.__version__}, tensorflow {tf.__version__}"


def _classes(module):
    return sorted(n for n in dir(module)
                  if inspect.isclass(getattr(module, n)) and n[0].isupper() and n not in _SAME)


def cases():
    import keras
    import tensorflow as tf

    found = []
    for family in _FAMILIES:
        name = _SINGULAR.get(family, family[:-1])
        found.append({"kind": "names", "name": name, "names": _classes(getattr(keras, family))})
    found.append({"kind": "names", "name": "schedule", "names": _classes(keras.optimizers.schedules)})
    found.append({"kind": "names", "name": "dataset",
                  "names": sorted(n for n in dir(tf.data.Dataset) if not n.startswith("_"))})
    return found
