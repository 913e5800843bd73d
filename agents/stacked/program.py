"""A function of tensors that runs many times with inputs of the same shapes; on a GPU as a CUDA graph."""

from collections.abc import Callable
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
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            results = self.function(*inputs)
        torch.cuda.current_stream().wait_stream(stream)
        return results

    def _captured(self, inputs: Any) -> tuple[torch.cuda.CUDAGraph, Any, Any]:
        """The graph, its inputs and its results. A capture runs nothing."""
        given = map_tensors(torch.clone, inputs)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = self.function(*given)
        return graph, given, results
