"""A function of tensors that runs many times with inputs of the same shapes; on a GPU as a CUDA graph."""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

from mawm.agents.compute import leaves, map_tensors

WARM_UP = 2
"""Calls before a capture: they run as usual, and let libraries allocate what may not be allocated in a capture."""
MOST_GRAPHS = 8
"""Number of input shapes whose graphs are kept; inputs of further shapes run without a graph."""


class Program:
    """Calls a function whose results depend on nothing but its inputs and tensors that never move in memory.

    On a CPU it just calls the function. On a GPU the launch of a small kernel takes longer than the kernel, so the
    third call with inputs of the same shapes records all kernels, and later calls start them at once. The function must
    therefore never wait for the device, and must not choose between kernels by values of tensors.
    """

    def __init__(self, function: Callable[..., Any], device: str) -> None:
        self.function = function
        self.device = device
        self.on_gpu = device.startswith("cuda")
        self.calls: dict[Any, int] = {}
        self.graphs: dict[Any, tuple[torch.cuda.CUDAGraph, Any, Any]] = {}

    def forget(self) -> None:
        """Drop all graphs, after tensors that the function uses were replaced."""
        self.calls.clear()
        self.graphs.clear()

    def __call__(self, *inputs: Any) -> Any:
        """The results of the function; tensors of the inputs and the results are in nested tuples."""
        if not self.on_gpu:
            return self.function(*inputs)
        with torch.cuda.device(self.device):
            return self._on_gpu(inputs)

    def _on_gpu(self, inputs: Any) -> Any:
        shapes = tuple((tuple(x.shape), x.dtype) for x in leaves(inputs))
        seen = self.calls[shapes] = self.calls.get(shapes, 0) + 1
        if shapes not in self.graphs:
            if seen <= WARM_UP or len(self.graphs) == MOST_GRAPHS:
                return self._beside(inputs)
            self.graphs[shapes] = self._captured(inputs)
        graph, given, results = self.graphs[shapes]
        for place, value in zip(leaves(given), leaves(inputs), strict=True):
            place.copy_(value)
        graph.replay()
        return map_tensors(torch.clone, results)

    def _beside(self, inputs: Any) -> Any:
        """Run on another stream, as captures need it for warm-up calls."""
        stream = _side_stream(self.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            results = self.function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return results

    def _captured(self, inputs: Any) -> tuple[torch.cuda.CUDAGraph, Any, Any]:
        """The graph, its inputs and its results. A capture runs nothing."""
        given, graph = map_tensors(torch.clone, inputs), torch.cuda.CUDAGraph()
        with _no_garbage_collection(), warnings.catch_warnings():
            # An empty graph would do nothing at every later call.
            warnings.filterwarnings("error", message=".*CUDA Graph is empty.*")
            with torch.cuda.graph(graph):
                results = self.function(*given)
        return graph, given, results


@cache
def _side_stream(device: str) -> torch.cuda.Stream:
    """The stream of all warm-up calls on a device: each stream has a memory cache of its own."""
    return torch.cuda.Stream(device)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Within the context no old graph is freed, which CUDA does not permit in a capture."""
    gc.collect()
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
