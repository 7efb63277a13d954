"""Compares two safetensors files with NumPy and prints what it cost, as JSON:
weights_numpy.py CANDIDATE REFERENCE [bounded]

As a person would write it, the files are mapped into memory, all of them. `bounded` does what the check does: it holds
no more than the largest tensor, and looks at 512 values of a piece for a half precision in the past."""

import json
import resource
import struct
import sys
import time

import numpy as np

PIECE = 2**18


class Model:
    def __init__(self, path):
        self.file = open(path, "rb", buffering=0)
        length = struct.unpack("<Q", self.file.read(8))[0]
        self.begin = 8 + length
        self.entries = list(json.loads(self.file.read(length)).values())
        self.map = np.memmap(path, np.uint8, "r", self.begin)

    def mapped(self, entry):
        return self.map[slice(*entry["data_offsets"])].view("<f4").reshape(entry["shape"])

    def into(self, entry, start, words):
        self.file.seek(self.begin + entry["data_offsets"][0] + 4 * start)
        self.file.readinto(words)


def bounded(candidate, reference, turned):
    held, expected = {}, np.empty(PIECE, "<u4")
    same, counted, halves = True, 0, 0
    for found_entry, entry in zip(candidate.entries, reference.entries):
        size = int(np.prod(entry["shape"]))
        step = size if turned else PIECE
        for start in range(0, size, step):
            count = min(step, size - start)
            found = held.setdefault(count, np.empty(count, "<u4"))
            wanted = expected[:count] if count <= PIECE else held.setdefault(-count, np.empty(count, "<u4"))
            candidate.into(found_entry, start, found)
            reference.into(entry, start, wanted)
            if turned:
                found = np.ascontiguousarray(found.reshape(found_entry["shape"]).T).reshape(-1)
            same &= np.array_equal(found, wanted) and bool(np.isfinite(wanted.view("<f4")).all())
            sample = wanted[:: max(1, count // 512 | 1)]
            counted += len(sample)
            halves += np.count_nonzero((sample & 0x1FFF) == 0)
    return same and halves < 0.999 * counted


def mapped(candidate, reference, turned):
    same = True
    for found_entry, entry in zip(candidate.entries, reference.entries):
        found, expected = candidate.mapped(found_entry), reference.mapped(entry)
        if turned:
            found = np.ascontiguousarray(found.T)
        # NaN is unlike itself, so that what is not finite is found by the same comparison of bits.
        same &= np.array_equal(found.view("<u4"), expected.view("<u4")) and bool(np.isfinite(expected).all())
    return same


def peak_bytes():
    """Of this process alone: ru_maxrss begins with what the parent had when it forked."""
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


candidate, reference = (Model(path) for path in sys.argv[1:3])
compare = bounded if "bounded" in sys.argv[3:] else mapped
begin = time.process_time()
same = compare(candidate, reference, "kernel" in sys.argv[1])
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
