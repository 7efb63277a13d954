"""Compares two safetensors files with NumPy and prints what it cost, as JSON:
weights_numpy.py CANDIDATE REFERENCE mapped|loaded|bounded [ORDER]

ORDER, as 1,0, is that of the candidate's axes in the reference. `mapped` maps both files into memory, as a person would
write it; `loaded` reads them whole, as safetensors.numpy.load_file does. `bounded` does what the check does with float32:
it holds no more than the largest tensor, and looks at 512 values of a piece for a half precision in the past. What differs
in its dtype is measured: the figures of the check's report, and whether it was rounded."""

import json
import resource
import struct
import sys
import time

import numpy as np

PIECE = 2**18
WIDTHS = {"F16": "<u2", "BF16": "<u2", "F32": "<u4"}


class Model:
    def __init__(self, path):
        self.file = open(path, "rb", buffering=0)
        length = struct.unpack("<Q", self.file.read(8))[0]
        self.path, self.begin, self.all = path, 8 + length, None
        self.entries = list(json.loads(self.file.read(length)).values())

    def bits(self, entry, how):
        if self.all is None:
            if how == "mapped":
                self.all = np.memmap(self.path, np.uint8, "r", self.begin)
            else:
                self.all = np.fromfile(self.path, np.uint8, offset=self.begin)
        return self.all[slice(*entry["data_offsets"])].view(WIDTHS[entry["dtype"]]).reshape(entry["shape"])

    def into(self, entry, start, words):
        self.file.seek(self.begin + entry["data_offsets"][0] + 4 * start)
        self.file.readinto(words)


def bounded(candidate, reference, order):
    held, expected = {}, np.empty(PIECE, "<u4")
    same, counted, halves = True, 0, 0
    for found_entry, entry in zip(candidate.entries, reference.entries):
        size = int(np.prod(entry["shape"]))
        step = size if order else PIECE
        for start in range(0, size, step):
            count = min(step, size - start)
            found = held.setdefault(count, np.empty(count, "<u4"))
            wanted = expected[:count] if count <= PIECE else held.setdefault(-count, np.empty(count, "<u4"))
            candidate.into(found_entry, start, found)
            reference.into(entry, start, wanted)
            if order:
                found = np.ascontiguousarray(found.reshape(found_entry["shape"]).transpose(order)).reshape(-1)
            same &= np.array_equal(found, wanted) and bool(np.isfinite(wanted.view("<f4")).all())
            sample = wanted[:: max(1, count // 512 | 1)]
            counted += len(sample)
            halves += np.count_nonzero((sample & 0x1FFF) == 0)
    return same and halves < 0.999 * counted


def finite(bits, dtype):
    if dtype == "BF16":
        return bool(((bits & 0x7F80) != 0x7F80).all())
    return bool(np.isfinite(bits.view("<f4" if dtype == "F32" else "<f2")).all())


def widened(bits, dtype):
    if dtype == "F32":
        return bits.view("<f4")
    return bits.view("<f2").astype("<f4") if dtype == "F16" else (bits.astype("<u4") << 16).view("<f4")


def measured(found, expected, dtype):
    """What the report of a tensor says: counts, norms, the largest distances, and a cause."""
    left, right = expected.view("<i4"), found.view("<i4")
    differing = np.count_nonzero(left != right)
    apart = found.astype("<f8") - expected
    squares = np.square(expected, dtype="<f8").sum()
    other = np.square(found, dtype="<f8").sum()
    figures = {
        "differing": int(differing),
        "relativeL2": float(np.sqrt(np.square(apart).sum() / squares)),
        "maxAbs": float(np.abs(apart).max()),
        "cosine": float(np.multiply(expected, found, dtype="<f8").sum() / np.sqrt(squares * other)),
    }
    ordered = [np.where(one < 0, 0x7FFFFFFF - one.view("<u4").astype("<i8"), one) for one in (left, right)]
    figures["maxUlp"] = int(np.abs(ordered[0] - ordered[1]).max())
    if dtype == "F16":
        figures["rounded"] = bool((expected.astype("<f2").astype("<f4") == found).all())
    else:
        words = expected.view("<u4")
        figures["rounded"] = bool((((words + 0x7FFF + ((words >> 16) & 1)) & 0xFFFF0000) == found.view("<u4")).all())
    return figures


def whole(candidate, reference, order, how):
    same = True
    for found_entry, entry in zip(candidate.entries, reference.entries):
        found, expected = candidate.bits(found_entry, how), reference.bits(entry, how)
        if order:
            found = np.ascontiguousarray(found.transpose(order))
        if found_entry["dtype"] == entry["dtype"]:
            same &= np.array_equal(found, expected) and finite(expected, entry["dtype"])
        else:
            numbers = [widened(found, found_entry["dtype"]), widened(expected, entry["dtype"])]
            same &= all(bool(np.isfinite(one).all()) for one in numbers)
            same &= measured(*numbers, found_entry["dtype"])["differing"] == 0
    return same


def peak_bytes():
    """Of this process alone: ru_maxrss begins with what the parent had when it forked."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


candidate, reference = (Model(path) for path in sys.argv[1:3])
how, *rest = sys.argv[3:]
order = tuple(int(axis) for axis in rest[0].split(",")) if rest else ()
begin = time.process_time()
same = bounded(candidate, reference, order) if how == "bounded" else whole(candidate, reference, order, how)
print(
    json.dumps(
        {
            "verdict": "passed" if same else "failed",
            "tensors": len(reference.entries),
            "cpuSeconds": time.process_time() - begin,
            "rssBytes": peak_bytes(),
        }
    )
)
