#!/usr/bin/env python3
"""A PyTorch trainer for Consilium: `train.py TASK_FOLDER` trains, evaluates or probes an mlp or a cnn on a site's rows.

It computes what Consilium's own trainer computes, row for row and batch for batch, so that the two can serve in one
federation. Copy it and put your own model, data and optimiser in its place; contract.py can stay as it is.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from contract import (
    read_correction,
    read_safetensors,
    read_task,
    report_progress,
    write_probe_result,
    write_result,
    write_safetensors,
)
from rows import read_rows
from tabular import shuffled_indices, splitmix32
from torch import nn


class Network(nn.Module):
    """A job's mlp or cnn. Its tensors bear the names of the federation: conv.0.weight, dense.0.bias, ..."""

    input_shape = None  # The job says it.

    def __init__(self, spec: dict) -> None:
        super().__init__()
        self.activation = {"relu": nn.functional.relu, "tanh": torch.tanh}[spec.get("activation", "relu")]
        self.pools: list[int] = []
        self.conv = nn.ModuleList()
        self.norm = nn.ModuleDict()
        if spec["kind"] == "mlp":
            width = len(spec["features"])
        else:
            channels, height, breadth = (spec["input"][extent] for extent in ("channels", "height", "width"))
            for place, layer in enumerate(spec["convolutions"]):
                kernel, stride, pool = layer["kernel"], layer["stride"], layer["pool"]
                pad = kernel // 2
                self.conv.append(nn.Conv2d(channels, layer["channels"], kernel, stride, pad))
                self.pools.append(pool)
                channels = layer["channels"]
                if layer.get("batchNorm"):
                    # Its eps of 1e-5 and momentum of 0.1 are those of the federation.
                    self.norm[str(place)] = nn.BatchNorm2d(channels)
                height, breadth = (((e + 2 * pad - kernel) // stride + 1) // pool for e in (height, breadth))
            width = channels * height * breadth
        units = [width, *spec["hidden"], spec["outputs"]]
        self.dense = nn.ModuleList(nn.Linear(a, b) for a, b in zip(units, units[1:]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        for place, (convolution, pool) in enumerate(zip(self.conv, self.pools)):
            inputs = convolution(inputs)
            if str(place) in self.norm:
                inputs = self.norm[str(place)](inputs)
            inputs = nn.functional.relu(inputs)
            if pool > 1:
                inputs = nn.functional.max_pool2d(inputs, pool)
        *hidden, last = self.dense
        values = inputs.flatten(1)
        for layer in hidden:
            values = self.activation(layer(values))
        return last(values)


def freeze(model: nn.Module, frozen: set[str]) -> None:
    """Keeps the tensors of these names as they are: a batch norm among them runs by its running statistics."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    for name, layer in model.named_modules():
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            layer.train(f"{name}.running_mean" not in frozen)


def shared(task: dict, model: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of the job. A model that is ahead has more, and batch norms have counts that nobody exchanges."""
    names = {tensor["name"] for tensor in task["manifest"]["tensors"]}
    return {name: tensor for name, tensor in model.state_dict().items() if name in names}


def named_layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers with weights of their own, by their names in the federation: conv.0, dense.0, ..."""
    return {
        name: layer
        for name, layer in model.named_modules()
        # What the model itself has as parameters is of no layer.
        if name and next(layer.parameters(recurse=False), None) is not None
    }


def open_rows(task: dict, part: str, shape: tuple[int, ...] | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of the `train` or `test` rows; too few of them end the program."""
    rows = read_rows(task, part, shape)
    if rows.count < task["minimumCount"]:
        sys.exit("the site has too few rows")
    inputs = torch.frombuffer(rows.inputs, dtype=torch.float32).reshape(rows.count, *rows.shape)
    return inputs, torch.frombuffer(rows.targets, dtype=torch.float32)


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy: sigmoid for one output, else softmax."""
    if logits.shape[1] == 1:
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], targets)
    return nn.functional.cross_entropy(logits, targets.long())


def batches(rows: int, job: dict, seed: int) -> Iterator[tuple[int, list[int]]]:
    """Epoch and row numbers of each batch: each epoch is shuffled with the next draw of the round's seed."""
    draw = splitmix32(seed)
    size = job["trainer"]["batchSize"]
    for epoch in range(job["trainer"]["epochs"]):
        order = shuffled_indices(rows, draw())
        for start in range(0, rows, size):
            yield epoch, order[start : start + size]


def train(
    task: dict, model: nn.Module, correction: dict[str, torch.Tensor] | None
) -> tuple[int, dict[str, float], int]:
    """SGD on the training rows, in place; gives rows, metrics and steps.

    FedProx adds (mu / 2) |w - w_global|^2 to each batch's loss, q-FedAvg asks how good the base is, SCAFFOLD adds its
    correction to each gradient.
    """
    job = task["job"]
    inputs, targets = open_rows(task, "train", model.input_shape)
    rows = len(targets)
    mu = job["strategy"].get("mu", 0.0)
    metrics = {}
    if job["strategy"]["name"] == "qfedavg":
        with torch.no_grad():
            metrics["baseLoss"] = loss_of(model(inputs).double(), targets.double()).item()
    # What the job does not have stays at its defaults, which leave the model as the others have it.
    freeze(model, set(task["frozen"]) | (model.state_dict().keys() - shared(task, model).keys()))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    anchor = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.SGD(
        parameters, lr=job["trainer"]["learningRate"], weight_decay=job["trainer"]["weightDecay"]
    )
    seen, current, total, steps = 0, 0, 0.0, 0
    for epoch, chosen in batches(rows, job, task["seed"]):
        if epoch > current:
            current, total = epoch, 0.0
        loss = loss_of(model(inputs[chosen]), targets[chosen])
        total += loss.item() * len(chosen)
        if mu > 0:
            loss = loss + mu / 2 * sum(((p - a) ** 2).sum() for p, a in zip(parameters, anchor))
        optimizer.zero_grad()
        loss.backward()
        if correction is not None:
            for name, parameter in model.named_parameters():
                # What the job freezes has no gradient.
                if parameter.requires_grad:
                    parameter.grad += correction[name]
        optimizer.step()
        steps += 1
        before, seen = seen, seen + len(chosen)
        whole = rows * job["trainer"]["epochs"]
        if 100 * seen // whole > 100 * before // whole:
            report_progress(seen / whole, total / (seen - current * rows))
    return rows, {"loss": total / rows, **metrics}, steps


@torch.no_grad()
def evaluate(task: dict, model: nn.Module) -> tuple[int, dict[str, float]]:
    """Loss, accuracy and (binary, both classes there) area under the ROC curve over the held-out rows."""
    inputs, targets = open_rows(task, "test", model.input_shape)
    logits = model(inputs)
    binary = logits.shape[1] == 1
    predicted = (logits[:, 0] > 0).float() if binary else logits.argmax(dim=1).float()
    metrics = {
        "loss": loss_of(logits.double(), targets.double()).item(),
        "accuracy": (predicted == targets).double().mean().item(),
    }
    if binary and 0 < targets.sum() < len(targets):
        metrics["auc"] = area_under_roc(logits[:, 0], targets)
    return len(targets), metrics


@torch.no_grad()
def probe(task: dict, folder: Path, model: nn.Module, layers: dict[str, nn.Module]) -> dict[str, torch.Tensor]:
    """What each layer gives on the inputs that the federation sent, and what comes out at the end."""
    inputs = read_safetensors(folder / "probe.safetensors")
    outputs: dict[str, torch.Tensor] = {}

    def kept(key: str) -> Callable[..., None]:
        def hook(_layer: nn.Module, _inputs: tuple, output: torch.Tensor | tuple) -> None:
            # A GRU, an LSTM and an attention give more than one: the first counts, and of several calls the first.
            while isinstance(output, (tuple, list)):
                output = output[0]
            outputs.setdefault(key, output.clone())

        return hook

    for kind in task["probes"]:
        hooks = [layer.register_forward_hook(kept(f"{kind}/layer/{name}")) for name, layer in layers.items()]
        outputs[f"{kind}/output/0"] = model(inputs[f"{kind}/input/0"])
        for hook in hooks:
            hook.remove()
    return outputs


def area_under_roc(scores: torch.Tensor, targets: torch.Tensor) -> float:
    """The chance that a random positive row scores above a random negative one, a tie counting half."""
    positive, negative = scores[targets > 0.5], scores[targets <= 0.5]
    wins = (positive[:, None] > negative[None, :]).double() + 0.5 * (positive[:, None] == negative[None, :]).double()
    return wins.mean().item()


def work(folder: Path, task: dict, model: nn.Module) -> None:
    """Does a task with a model that has the tensors of the job, and maybe others, which stay as they are."""
    # One thread: models of this size gain nothing from more, and the result depends on nothing but the task.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # The counts of batches are not there, nor what a later version of the model has more.
    model.load_state_dict({**model.state_dict(), **read_safetensors(folder / "base.safetensors")})
    model.eval()
    if task["task"] == "probe":
        write_probe_result(folder, probe(task, folder, model, named_layers(model)))
        return
    if task["task"] == "evaluate":
        sample_count, metrics = evaluate(task, model)
        write_result(folder, sample_count, metrics)
    else:
        sample_count, metrics, steps = train(task, model, read_correction(task, folder))
        write_safetensors(folder / "weights.safetensors", shared(task, model))
        write_result(folder, sample_count, metrics, steps)


def main(folder: Path) -> None:
    task = read_task(folder)
    spec = task["job"]["model"]
    if spec["kind"] not in ("mlp", "cnn"):
        sys.exit(f"this program trains mlp and cnn models, not {spec['kind']}")
    work(folder, task, Network(spec))


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
