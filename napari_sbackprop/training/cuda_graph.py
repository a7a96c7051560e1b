"""A step of training as one CUDA graph: a few hundred launches, each shorter than the interpreter takes to ask for it."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from napari_sbackprop.ops.cuda_runtime import CudaError

logger = logging.getLogger(__name__)

_WARM_UP = 3  # calls before the recording, in which libraries load and optimisers make their state


class GraphedStep:
    """Calls a function of tensors on a GPU by replaying a recording of it; elsewhere, calls it.

    It is always the same function. It depends on its arguments only in what the device computes: it neither waits for the
    device nor copies to it, draws no random numbers, and finds all else that it reads or writes where it was. Calls with
    other shapes than the first one's, such as an epoch's last batch, are made without the recording.

    Parameters
    ----------
    recorded : False where the function is none of that kind.

    Attributes
    ----------
    recorded : whether it will be, or was; becomes False where CUDA refuses.
    """

    def __init__(self, *, recorded: bool) -> None:
        self.recorded = recorded
        self._shapes: list[torch.Size] = []
        self._calls = 0
        self._stream: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._output = torch.empty(0)

    def __call__(self, function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
        """The function's result, which the next call overwrites."""
        shapes = [tensor.shape for tensor in inputs]
        self._shapes = self._shapes or shapes
        if not self.recorded or not inputs[0].is_cuda or shapes != self._shapes:
            return function(*inputs)
        self._calls += 1
        if self._calls <= _WARM_UP:
            return self._warm_up(function, inputs)
        if self._graph is None:
            self._record(function, inputs)
        if self._graph is None:
            return function(*inputs)
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._output

    def _warm_up(self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        """Call the function on the stream of the recording; cuBLAS keeps memory for each stream it was ever called on."""
        user = torch.cuda.current_stream()
        self._stream = self._stream or torch.cuda.Stream()
        self._stream.wait_stream(user)
        with torch.cuda.stream(self._stream):
            output = function(*inputs)
        user.wait_stream(self._stream)
        output.record_stream(user)
        return output

    def _record(self, function: Callable[..., Tensor], inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the GPU meanwhile, as the one does that fetches images.
        recording = torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")
        user = torch.cuda.current_stream()
        try:
            with recording:
                self._output = function(*self._inputs)
        except (RuntimeError, CudaError) as error:
            torch.cuda.set_stream(user)  # a recording that fails leaves its own behind
            self.recorded = False
            cause = error.__context__ or error  # what came before says more than that the recording was ended
            logger.warning("Steps are not recorded as a CUDA graph, which makes them slower: %s", cause)
        else:
            self._graph = graph
