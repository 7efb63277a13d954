"""The rows of a task, read as Consilium's own trainers read them, so that all see the same. Needs nothing but Python."""

import json
import math
import struct
import sys
from array import array
from pathlib import Path
from typing import NamedTuple

from tabular import scaled_table, split_rows


class Rows(NamedTuple):
    """float32 values of `count` rows, one after the other, and their classes."""

    inputs: array
    targets: array
    shape: tuple[int, ...]
    count: int


def read_rows(task: dict, part: str, shape: tuple[int, ...] | None = None) -> Rows:
    """The `train` or `test` rows: features of a table, or images (channels, height, width) of a tensors file.

    Each row has `shape`; that of the job's model unless said, for the job tells it of an mlp and a cnn.
    """
    dataset, model = task["dataset"], task["job"]["model"]
    if shape is None and model["kind"] == "mlp":
        shape = (len(model["features"]),)
    elif shape is None:
        shape = tuple(model["input"][extent] for extent in ("channels", "height", "width"))
    if dataset["kind"] == "tabular":
        rows, targets = scaled_table(task)
        # Computed in doubles and rounded once.
        inputs = array("f", [number for row in rows for number in row])
    elif dataset["kind"] == "tensors":
        inputs, targets = read_tensors(Path(dataset["path"]), shape)
    else:
        sys.exit(f"this program reads tables and tensors, and the dataset is {dataset['kind']}")
    split = dataset["split"]
    train, test = split_rows(len(targets), split["trainShare"], split["seed"])
    chosen = train if part == "train" else test
    width = math.prod(shape)
    picked = array("f")
    for row in chosen:
        picked.extend(inputs[row * width : (row + 1) * width])
    return Rows(picked, array("f", (targets[row] for row in chosen)), shape, len(chosen))


def read_tensors(path: Path, shape: tuple[int, ...]) -> tuple[array, array]:
    """`inputs` [rows, ...shape] and `targets` [rows] of a safetensors file; a missing value (NaN) becomes 0."""
    data = path.read_bytes()
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_bytes])

    def tensor(name: str) -> tuple[array, list[int]]:
        entry = header[name]
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        values = array("f")
        values.frombytes(data[begin:end])
        if sys.byteorder == "big":
            values.byteswap()
        return values, entry["shape"]

    inputs, [count, *extents] = tensor("inputs")
    targets, [labels, *_] = tensor("targets")
    if tuple(extents) != shape or labels != count or len(targets) != count:
        sys.exit("the tensors of the dataset do not have the shapes of the model")
    if any(math.isinf(number) for number in inputs):
        sys.exit("the dataset holds an infinite value")
    return array("f", (0.0 if math.isnan(number) else number for number in inputs)), targets
