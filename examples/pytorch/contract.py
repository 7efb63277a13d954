"""Consilium's contract with a command trainer, versions 1 and 2: docs/COMMAND_TRAINER.md. Needs nothing but torch."""

import json
import struct
import sys
from pathlib import Path

import torch
from torch import nn

VERSIONS = (1, 2)


def read_task(folder: Path) -> dict:
    """What is to be done. Refuses a contract that this program was not written for."""
    task = json.loads((folder / "task.json").read_text("utf-8"))
    if task["contract"] not in VERSIONS:
        sys.exit(f"task.json follows contract {task['contract']}, this program {VERSIONS}")
    return task


def report_progress(fraction: float, loss: float) -> None:
    """One line on stdout; the participant shows it to the federation where its policy allows."""
    print(json.dumps({"fraction": fraction, "loss": loss}), flush=True)


def write_probe_result(folder: Path, outputs: dict[str, torch.Tensor]) -> None:
    """The answer to a probe: what the layers gave, by KIND/layer/NAME, and the end of the model, by KIND/output/0."""
    write_safetensors(folder / "outputs.safetensors", outputs)
    result = {"backend": f"pytorch {torch.__version__}"}
    (folder / "result.json").write_text(json.dumps(result), "utf-8")


def read_correction(task: dict, folder: Path) -> dict[str, torch.Tensor] | None:
    """What contract 2 wants added to the gradient of every step (SCAFFOLD); None under contract 1."""
    return read_safetensors(folder / "correction.safetensors") if task["contract"] == 2 else None


def write_result(
    folder: Path, sample_count: int, metrics: dict[str, float], local_steps: int | None = None
) -> None:
    """The last thing to write: counts and aggregates, never anything of a single patient."""
    result = {"sampleCount": sample_count, "metrics": metrics, "backend": f"pytorch {torch.__version__}"}
    if local_steps is not None:
        result["localSteps"] = local_steps
    (folder / "result.json").write_text(json.dumps(result, allow_nan=False), "utf-8")


def federated(model: nn.Module) -> dict[str, torch.Tensor]:
    """What a federation can start from: all tensors but the counts of batches, which nobody else has."""
    return {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}


def read_safetensors(path: Path) -> dict[str, torch.Tensor]:
    """The float32 tensors of a safetensors file: 8 bytes of header length, a JSON header, the values."""
    data = bytearray(path.read_bytes())
    (header_bytes,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + header_bytes])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
        values = torch.frombuffer(data[begin:end], dtype=torch.float32)
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def write_safetensors(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Writes float32 tensors; their order does not matter to the participant."""
    header: dict[str, object] = {}
    pieces = []
    end = 0
    for name, tensor in tensors.items():
        values = tensor.detach().to(torch.float32).contiguous().cpu()
        piece = bytes(values.untyped_storage())[: 4 * values.numel()]
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [end, end + len(piece)]}
        pieces.append(piece)
        end += len(piece)
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.writelines(pieces)
