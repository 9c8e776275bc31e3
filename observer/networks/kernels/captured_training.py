"""Training steps on a GPU as CUDA graphs: loss, gradients and Adam in one launch for each shape of the samples.

A step of a small network is some hundred short operations, whose launches take longer than they do. Captured once, they
are launched as one. The same steps run one by one where there is no GPU, so that all but the capture is tested there.
"""

# torch marks operations on lists of tensors as its own:
# pyright: reportPrivateImportUsage=false, reportCallIssue=false

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from systems.base.errors import InputError

#: fills tensors like the parameters with the gradients of a loss over some samples, and returns the loss ()
Gradients = Callable[[tuple[Tensor, ...], list[Tensor]], Tensor]
MOST_SHAPES = 8  # graphs that are kept; the oldest goes first


class DeviceAdam:
    """The updates of ``torch.optim.Adam`` in one launch per step length, without its import of torch's compiler.

    ``parameters``: pairs (tensor, rate). Source: arXiv 1412.6980.
    """

    def __init__(
        self, parameters: Sequence[tuple[Tensor, float]], betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.betas, self.eps = betas, eps
        self.parameters = [value for value, _ in parameters]
        if any(
            not value.is_contiguous() for value in self.parameters
        ):  # torch's fused update would mix up their entries
            raise InputError("a parameter is not contiguous; give a tensor of its own, as value.contiguous() makes one")
        self.means, self.squares = ([torch.zeros_like(value) for value in self.parameters] for _ in range(2))
        self.steps = torch.zeros((), device=self.parameters[0].device)  # a count: float32 whatever the parameters are
        self.groups: dict[float, list[int]] = {}
        for k, (value, rate) in enumerate(parameters):
            if value.numel():
                self.groups.setdefault(float(rate), []).append(k)

    @torch.no_grad()
    def step(self, gradients: list[Tensor], go: Tensor) -> None:
        """One update of every parameter where ``go`` () is 1, float32; none where it is 0, which the GPU alone knows."""
        self.steps.add_(go)
        skip = 1 - go
        for rate, members in self.groups.items():
            arrays = ([array[k] for k in members] for array in (self.parameters, gradients, self.means, self.squares))
            torch._fused_adam_(
                *arrays, [], [self.steps] * len(members), lr=rate, beta1=self.betas[0], beta2=self.betas[1],
                weight_decay=0.0, eps=self.eps, amsgrad=False, maximize=False, grad_scale=None, found_inf=skip,
            )  # fmt: skip


class CapturedTraining:
    """Gradient steps of Adam on a loss over samples, each a CUDA graph where the parameters are on a GPU.

    Parameters
    ----------
    parameters : pairs (tensor, rate), leaves that require gradients, on one device.
    gradients : as ``Gradients``; ``recorded(loss)`` makes one of any loss. It must not wait for the GPU, and must not depend
        on anything but the parameters, the samples and tensors that stay where they are.
    """

    def __init__(self, parameters: Sequence[tuple[Tensor, float]], gradients: Gradients) -> None:
        self.optimizer = DeviceAdam(parameters)
        self._of, self._device = gradients, parameters[0][0].device
        self.gradients_found = [torch.zeros_like(value) for value in self.optimizer.parameters]
        self._stream = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
        self._graphs: dict[Any, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]] = {}

    def gradients(self, *samples: Tensor) -> Tensor:
        """The loss (), with the gradients in ``.grad`` of the parameters. It stays on the device: float() waits for it."""
        return self._run(samples, False)

    def update(self, *samples: Tensor) -> Tensor:
        """One step of Adam; the loss () before it. Without effect where that is not finite."""
        return self._run(samples, True)

    def _run(self, samples: tuple[Tensor, ...], update: bool) -> Tensor:
        for value, gradient in zip(self.optimizer.parameters, self.gradients_found, strict=True):
            value.grad = gradient
        if self._device.type != "cuda":
            return self._step(samples, update)
        key = (update, *((sample.shape, sample.dtype) for sample in samples))
        if key not in self._graphs:
            if len(self._graphs) >= MOST_SHAPES:
                del self._graphs[next(iter(self._graphs))]
            self._graphs[key] = self._captured(samples, update)
        graph, places, loss = self._graphs[key]
        torch._foreach_copy_(places, list(samples))
        graph.replay()
        return loss.clone()

    def _step(self, samples: tuple[Tensor, ...], update: bool, hold: bool = False) -> Tensor:
        loss = self._of(samples, self.gradients_found)
        if update:
            go = torch.zeros_like(loss) if hold else torch.isfinite(loss)
            self.optimizer.step(self.gradients_found, go.float())
        return loss

    def _captured(self, samples: tuple[Tensor, ...], update: bool) -> tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]:
        """The step on places for the samples. It runs once before, without effect: what is compiled or allocated at first use."""
        places = [sample.clone() for sample in samples]
        stream = self._stream
        assert stream is not None
        stream.wait_stream(torch.cuda.current_stream(self._device))
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            with torch.cuda.stream(stream):
                self._step(tuple(places), update, hold=True)
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                loss = self._step(tuple(places), update)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        return graph, places, loss


def recorded(loss: Callable[..., Tensor], parameters: Sequence[Tensor]) -> Gradients:
    """The gradients of ``loss(*samples)`` by autograd; zero in parameters that it does not depend on."""

    def gradients(samples: tuple[Tensor, ...], into: list[Tensor]) -> Tensor:
        value = loss(*samples)
        found = torch.autograd.grad(value, list(parameters), allow_unused=True, materialize_grads=True)
        torch._foreach_copy_(into, list(found))
        return value.detach()

    return gradients
