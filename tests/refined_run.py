"""Runs that have refined their particles, without a training."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_sbackprop.config import Config
from napari_sbackprop.run_directory import Latents, RunDirectory

COUNT = 40


def refined(path: Path, star: Path, *, poses: bool = True, ctf: bool = True, epoch: int = 3) -> Tensor:
    """Make a run on `COUNT` particles; its only epoch holds the corrections (N, 6) that are returned."""
    run = RunDirectory.create(path, star, Config(refine_poses=poses, refine_ctf=ctf), {})
    return publish_corrections(run, epoch)


def publish_corrections(run: RunDirectory, epoch: int) -> Tensor:
    """Publish an epoch with random corrections (N, 6) of what the run refines."""
    corrections = torch.randn(COUNT, 6, generator=torch.Generator().manual_seed(epoch))
    corrections *= torch.tensor([0.05] * 3 + [0.8] * 2 + [300.0])
    corrections[:, :5] *= run.config.refine_poses
    corrections[:, 5:] *= run.config.refine_ctf
    zero = np.zeros((COUNT, 2), np.float32)
    latents = Latents(zero, zero, np.zeros((COUNT, 2, 2), np.float32), zero[:, 0], epoch)
    run.publish(epoch, {"alignment": corrections}, latents, {"box": 36})
    return corrections
