#!/usr/bin/env python3
"""Makes tests/core/io/fixtures/*.h5 and *.zip with h5py and Python's zipfile. The files are committed."""
import os
import zipfile

import h5py
import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
os.makedirs(FOLDER, exist_ok=True)


def path(name):
    return os.path.join(FOLDER, name)


def put_types(file):
    for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", ">i8", ">f4"):
        name = code.replace(">", "big_")
        signed = code[-2] != "u"
        file["types/" + name] = np.array([[1, 2, 3], [-4 if signed else 4, 5, 100]], code)
    file["types/bool"] = np.array([True, False, True])
    file["types/scalar"] = np.int64(7)
    file["types/empty"] = np.zeros((0, 3), "f4")
    file["types/texts"] = np.array(["one", "", "drei ü"], object)
    file["types/fixed"] = np.array([b"ab", b"c"], "S4")
    bf16 = file.create_dataset("types/bf16", data=np.array([0x3F80, 0xC040], "u2").view("V2"))
    bf16.attrs["dtype"] = "bfloat16"


def put_attributes(group):
    group.attrs["text"] = "häuser"
    group.attrs["bytes"] = np.bytes_(b"fixed")
    group.attrs["texts"] = ["a", "bc", ""]
    group.attrs["fixed"] = np.array([b"xx", b"y"])
    group.attrs["none"] = []
    group.attrs["integer"] = np.int32(-3)
    group.attrs["number"] = 2.5
    group.attrs["matrix"] = np.ones((2, 2))  # left out


with h5py.File(path("types.h5"), "w") as file:
    put_types(file)
    put_attributes(file)
    put_attributes(file.create_group("inner/most"))

with h5py.File(path("latest.h5"), "w", libver="latest") as file:
    file["types/f4"] = np.array([[1, 2, 3], [-4, 5, 100]], "f4")
    put_attributes(file.create_group("inner"))

with h5py.File(path("many.h5"), "w") as file:
    for i in range(70):
        file[f"group/{i}"] = np.int32(i)

with h5py.File(path("chunks.h5"), "w") as file:
    values = np.arange(7 * 10, dtype="f4").reshape(7, 10)
    file.create_dataset("plain", data=values, chunks=(3, 4))
    file.create_dataset("packed", data=values, chunks=(3, 4), compression="gzip", shuffle=True, fletcher32=True)
    sparse = file.create_dataset("sparse", (7, 10), "f4", chunks=(2, 5), fillvalue=1.5)
    sparse[2:4, 0:5] = values[2:4, 0:5]
    file.create_dataset("unwritten", (3, 2), "i4", fillvalue=9)
    file.create_dataset("many", data=np.arange(700, dtype="i4"), chunks=(10,))

for name, feature in (("soft", h5py.SoftLink("/a")), ("external", h5py.ExternalLink("other.h5", "/a"))):
    with h5py.File(path(f"{name}_link.h5"), "w") as file:
        file["a"] = np.ones(3)
        file["b"] = feature
with h5py.File(path("cycle.h5"), "w") as file:
    file["a/b"] = file["/"]
with h5py.File(path("dense.h5"), "w", track_order=True) as file:
    for i in range(20):
        file[str(i)] = i
with h5py.File(path("shape_bomb.h5"), "w") as file:
    file.create_dataset("x", (1 << 34,), "f4", chunks=(1 << 20,), compression="gzip")
    file.create_dataset("y", (1 << 34,), "f4")

with zipfile.ZipFile(path("packed.zip"), "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr("a.txt", "hello " * 1000)
    archive.writestr("sub/b.txt", "b", zipfile.ZIP_STORED)
for name, members in (("up", ["../a"]), ("absolute", ["/a"]), ("twice", ["a", "a"])):
    with zipfile.ZipFile(path(f"{name}.zip"), "w") as archive:
        for member in members:
            archive.writestr(member, "x")
