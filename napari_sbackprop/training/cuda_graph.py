"""A step of training as one CUDA graph: a few hundred launches, each shorter than the interpreter takes to ask for it."""

import logging
from collections.abc import Callable

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

_WARM_UP = 3  # calls before the recording, in which libraries load and optimisers make their state


class GraphedStep:
    """Calls a function of tensors on a GPU by replaying a recording of it; elsewhere, calls it.

    Calls with other shapes than the first one's, such as an epoch's last batch, are made without the recording.

    Parameters
    ----------
    function : depends on its arguments only in what the device computes: it neither waits for the device nor copies to
        it, draws no random numbers, and finds all else that it reads or writes where it was. The tensor that it returns
        is overwritten by the next call.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function = function
        self._shapes: list[torch.Size] = []
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: tuple[Tensor, ...] = ()
        self._output = torch.empty(0)
        self._refused = False

    def __call__(self, *inputs: Tensor) -> Tensor:
        shapes = [tensor.shape for tensor in inputs]
        self._shapes = self._shapes or shapes
        if self._refused or not inputs[0].is_cuda or shapes != self._shapes:
            return self._function(*inputs)
        self._calls += 1
        if self._calls <= _WARM_UP:
            return self._warm_up(inputs)
        if self._graph is None:
            self._record(inputs)
        if self._graph is None:
            return self._function(*inputs)
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._output

    def _warm_up(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Call the function on a stream of its own, as a recording will."""
        user, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(user)
        with torch.cuda.stream(side):
            output = self._function(*inputs)
        user.wait_stream(side)
        output.record_stream(user)
        return output

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = tuple(tensor.clone() for tensor in inputs)
        graph = torch.cuda.CUDAGraph()
        try:
            # Other threads may use the GPU meanwhile, as the one does that fetches images.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._output = self._function(*self._inputs)
        except RuntimeError as error:
            self._refused = True
            logger.warning("Steps are not recorded as a CUDA graph, which makes them slower: %s", error)
        else:
            self._graph = graph
