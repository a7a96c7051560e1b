"""A second device without a GPU: tensors that say they lie elsewhere, and refuse to meet those of the CPU.

Their numbers are on the CPU, so that a training on the second device must come to the same result as one here. What
that cannot show is how CUDA runs it: streams, memory, speed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = torch.device("meta")  # one that a CPU build can differentiate on
_aten = torch.ops.aten
_CROSSING = {_aten.copy_.default, _aten._to_copy.default}
_INDEXING = {
    _aten.index.Tensor,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}  # take indices of the CPU


class Remote(Tensor):
    """A tensor of the second device."""

    values: Tensor
    is_cuda, is_meta = True, False  # so that all treat it as they treat a GPU's

    @staticmethod
    def __new__(cls, values: Tensor) -> "Remote":
        layout = {
            "strides": values.stride(),
            "storage_offset": values.storage_offset(),
            "dtype": values.dtype,
        }
        remote: Remote = Tensor._make_wrapper_subclass(cls, values.shape, device=DEVICE, **layout)
        remote.values = values
        return remote

    def tolist(self) -> Any:
        return run(_aten._to_copy.default, (self,), {"device": torch.device("cpu")}).tolist()

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {})


class Watch:
    """What the second device was asked for."""

    def __init__(self) -> None:
        self.crossings: list[str] = []  # copies between the devices, and numbers that Python asked for
        self.recording: list[tuple[Any, Any, Any, Any]] | None = None


watch = Watch()


def _local(value: Any) -> Any:
    return value.values if isinstance(value, Remote) else value


def _call(function: Any, args: Any, kwargs: Any) -> Any:
    args, kwargs = tree_map(_local, (args, kwargs))
    if kwargs.get("device") is not None:
        kwargs["device"] = torch.device("cpu")
    return function(*args, **kwargs)


def run(function: Any, args: Any, kwargs: Any) -> Any:
    """Do what torch's dispatcher asks for, where the tensors are; refuse what CUDA would."""
    tensors = [item for item in tree_flatten((args, kwargs))[0] if isinstance(item, Tensor)]
    remote = [tensor for tensor in tensors if isinstance(tensor, Remote)]
    here = [tensor for tensor in tensors if not isinstance(tensor, Remote) and tensor.dim() > 0]
    asked = kwargs.get("device")
    result_is_remote = bool(remote) if asked is None else torch.device(asked).type == DEVICE.type
    if remote and here and function not in _CROSSING | _INDEXING:
        raise RuntimeError(f"{function} was given tensors on two devices")
    moved = function in _CROSSING and (bool(here) or bool(remote) != result_is_remote)
    if (remote and (moved or here)) or (not remote and result_is_remote and tensors):
        watch.crossings.append(f"{function}, {'not ' if kwargs.get('non_blocking') else ''}waited for")
    elif remote and function is _aten._local_scalar_dense.default:
        watch.crossings.append(f"{function}, waited for")
    if function is _aten.copy_.default:
        _local(args[0]).copy_(_local(args[1]))
        result = args[0]
    else:
        own = {id(tensor.values): tensor for tensor in remote}
        values = _call(function, args, kwargs)
        if not result_is_remote:
            return values
        result = tree_map(lambda item: _wrapped(item, own), values)
    if watch.recording is not None:
        watch.recording.append((function, args, kwargs, result))
    return result


def _wrapped(item: Any, own: dict[int, Remote]) -> Any:
    if not isinstance(item, Tensor):
        return item
    # Lazy conjugation is resolved in a layer that the call has passed already.
    return (
        own[id(item)]
        if id(item) in own
        else Remote(torch.conj_physical(item.conj()) if item.is_conj() else item)
    )


class SecondDevice(TorchDispatchMode):
    """While this is entered, tensors can be made on, and moved to, `DEVICE`."""

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(function, args, kwargs or {})


class Graph:
    """Stands for torch.cuda.CUDAGraph: repeats the recorded calls on the same memory."""

    replays = 0

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self._done_by_recording = True

    def replay(self) -> None:
        Graph.replays += 1
        if self._done_by_recording:  # here, unlike on a GPU, recording has done the work once
            self._done_by_recording = False
            return
        for function, args, kwargs, result in self.calls:
            again = _call(function, args, kwargs)
            for old, new in zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True):
                if isinstance(old, Remote) and old.values.data_ptr() != new.data_ptr():
                    old.values.copy_(new)


@contextmanager
def record(graph: Graph, **_: Any) -> Iterator[None]:
    """Stands for torch.cuda.graph."""
    crossings = len(watch.crossings)
    watch.recording = graph.calls
    try:
        yield
    finally:
        watch.recording = None
    if len(watch.crossings) > crossings:
        raise RuntimeError(f"{watch.crossings[crossings:]} cannot be recorded")
