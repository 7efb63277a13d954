#!/usr/bin/env python3
"""A trainer of a network of your own (net.py), of which a job knows the tensors alone: `own_model.py TASK_FOLDER`."""

import sys
from pathlib import Path

from contract import read_task
from net import Net
from train import work


def main(folder: Path) -> None:
    task = read_task(folder)
    kind = task["job"]["model"]["kind"]
    if kind != "external":
        sys.exit(f"this program trains its own model, and the job describes one of kind {kind}")
    work(folder, task, Net())


if __name__ == "__main__":
    main(Path(sys.argv[-1]))
