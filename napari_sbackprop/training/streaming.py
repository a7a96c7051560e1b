"""Images that a GPU cannot hold: batches are gathered in page-locked memory and copied while the one before is used."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

_SHARE = (
    1 / 3
)  # of the free memory: their copy at a lower resolution takes a third at most, the volumes have the rest


def fits(size: int, device: torch.device) -> bool:
    """Whether a device has room for images of `size` bytes and for all that is computed from them."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return size <= _SHARE * (free + cached)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """A copy of a tensor of the CPU on a device, which nothing waits for: CUDA would for a copy from ordinary memory."""
    return (tensor.pin_memory() if device.type == "cuda" else tensor).to(device, non_blocking=True)


def streamed(
    tensors: Sequence[Tensor], rows: Tensor, size: int, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """Copy some rows (n,) of tensors in main memory to a device, `size` of them at a time, in their order.

    A thread gathers the next rows meanwhile. Whoever uses the copies on torch's current stream need not wait for them.
    """
    buffers = [_Buffer(tensors, size, device) for _ in range(2)]
    parts = rows.cpu().split(size)
    with ThreadPoolExecutor(1) as executor:
        filled = executor.submit(buffers[0].fill, tensors, parts[0])
        for number, following in enumerate((*parts[1:], None)):
            filled.result()
            copies = buffers[number % 2].send()
            if following is not None:
                filled = executor.submit(buffers[(number + 1) % 2].fill, tensors, following)
            yield copies


class _Buffer:
    """Memory for one batch on its way to the device; page-locked for CUDA, whose copies then run beside its kernels."""

    def __init__(self, like: Sequence[Tensor], size: int, device: torch.device) -> None:
        self._device, self._count = device, 0
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._sent = torch.cuda.Event() if self._stream else None
        self._rows = [
            torch.empty(size, *tensor.shape[1:], dtype=tensor.dtype, pin_memory=self._stream is not None)
            for tensor in like
        ]

    def fill(self, tensors: Sequence[Tensor], rows: Tensor) -> None:
        """Gather rows (n,), once the batch before has left."""
        if self._sent is not None:
            self._sent.synchronize()
        self._count = len(rows)
        for source, target in zip(tensors, self._rows, strict=True):
            torch.index_select(source, 0, rows, out=target[: self._count])

    def send(self) -> tuple[Tensor, ...]:
        """Copies on the device of what was gathered."""
        with torch.cuda.stream(self._stream):  # None changes nothing
            copies = tuple(rows[: self._count].to(self._device, non_blocking=True) for rows in self._rows)
        if self._stream is not None and self._sent is not None:
            self._sent.record(self._stream)
            user = torch.cuda.current_stream(self._device)
            user.wait_event(self._sent)
            for copy in copies:
                copy.record_stream(user)  # or else its memory might serve the next batch too early
        return copies
