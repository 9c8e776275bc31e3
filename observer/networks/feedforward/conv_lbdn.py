"""The Lipschitz-bounded network for images: convolutional sandwich layers, then dense ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from observer.networks.activations import get_activation
from observer.networks.explicit_weights import ExplicitWeights, to_array
from observer.networks.feedforward.convolution import ExplicitConvolution, convolution, space_to_depth
from observer.networks.feedforward.lbdn import LBDN, ExplicitLBDN
from observer.networks.network import Network, check_sizes, disturb, make_generator, random_values
from observer.networks.proofs.convolution import ConvolutionGuarantee
from systems.base.errors import InputError


@dataclass(frozen=True, eq=False)
class ExplicitConvLBDN(ExplicitWeights):
    """Convolutions, each behind a rearrangement of ``downsampling`` x ``downsampling`` pixels into channels; then dense."""

    convolutions: tuple[ExplicitConvolution, ...]
    dense: ExplicitLBDN
    downsampling: tuple[int, ...]
    input_shape: tuple[int, int, int]

    def __call__(self, u: Any) -> Any:
        """y (..., ny) for images u (..., channels, height, width)."""
        for layer, factor in zip(self.convolutions, self.downsampling, strict=True):
            u = layer(space_to_depth(u, factor))
        return self.dense(u.reshape(*u.shape[:-3], -1))

    def weights(self) -> dict[str, Any]:
        """reading0, writing0, bias0, ... of the convolutions, W0, b0, ... of the dense part, by name."""
        named = {
            f"{name}{k}": getattr(layer, name)
            for k, layer in enumerate(self.convolutions)
            for name in ("reading", "writing", "bias")
        }
        return named | self.dense.weights()

    def with_weights(self, **changes: Any) -> "ExplicitConvLBDN":
        """A copy with some of the weights replaced, by name."""
        values = self._replaced(changes)
        layers = tuple(
            replace(layer, **{name: values[f"{name}{k}"] for name in ("reading", "writing", "bias")})
            for k, layer in enumerate(self.convolutions)
        )
        return replace(
            self, convolutions=layers, dense=self.dense.with_weights(**{k: values[k] for k in self.dense.weights()})
        )


class ConvLBDN(Network):
    """Images to vectors with |y_a - y_b| <= gamma |u_a - u_b| for every value of its parameters (MATH 2d).

    Each convolution has circular padding and a kernel XYk (q + p, q, s, s) whose Cayley transform is taken per
    frequency: the filter that results is as large as the image. Before it, ``downsampling`` x ``downsampling`` pixels
    are rearranged into channels. The dense part is an ``LBDN`` with the bound gamma.

    Direct parameters: convXYk, convak, convdk, convbk of convolution k, and those of the dense part.

    Parameters: ``image`` (channels, height, width) of u; ``channels`` q of each convolution; ``kernel`` s;
    ``downsampling`` one factor per convolution; ``hidden`` and ``ny`` of the dense part; the rest as in ``LBDN``.

    Errors: InputError where an image is not divisible, or smaller than the kernel.
    Source: Wang, Manchester (arXiv 2301.11526), Algorithm 1; orthogonal case: Trockman, Kolter (arXiv 2104.07167).
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        channels: Sequence[int],
        hidden: Sequence[int],
        ny: int,
        *,
        kernel: int = 3,
        downsampling: Sequence[int] | None = None,
        gamma: float = 1.0,
        learnable_gamma: bool = False,
        linear_output: bool = True,
        activation: str = "relu",
        seed: int | torch.Generator = 0,
        dtype: str | torch.dtype = "float64",
    ) -> None:
        super().__init__()
        self.image = check_sizes(1, channels=image[0], height=image[1], width=image[2])
        self.channels = check_sizes(1, **{f"channels[{k}]": q for k, q in enumerate(channels)})
        (self.kernel,) = check_sizes(1, kernel=kernel)
        factors = (1,) * len(self.channels) if downsampling is None else tuple(downsampling)
        self.downsampling = check_sizes(1, **{f"downsampling[{k}]": f for k, f in enumerate(factors)})
        if len(self.downsampling) != len(self.channels):
            raise InputError(
                f"{len(factors)} factors of downsampling; expected {len(self.channels)}, one per convolution"
            )
        self.activation = get_activation(activation).name
        self._sizes = self._check_sizes()
        generator = make_generator(seed)
        values = random_values(self._convolution_shapes(), generator)
        for k in range(len(self.channels)):
            values[f"conva{k}"] = values[f"convXY{k}"].square().sum().sqrt()[None]
            values[f"convd{k}"] *= 0
        height, width = self._sizes[-1][1:] if self._sizes else self.image[1:]
        last = self.channels[-1] if self.channels else self.image[0]
        options = {"gamma": gamma, "learnable_gamma": learnable_gamma, "linear_output": linear_output}
        dense = LBDN(last * height * width, hidden, ny, activation=activation, seed=generator, dtype=dtype, **options)
        self._dense = (dense,)  # in a tuple: its parameters are registered here, under their own names
        for name, value in values.items():
            self.register_parameter(name, torch.nn.Parameter(value.to(dense.XY0.dtype)))  # type: ignore[arg-type]
        for name, parameter in dense.named_parameters():
            self.register_parameter(name, parameter)

    def _check_sizes(self) -> list[tuple[int, int, int]]:
        """(inputs, height, width) of each convolution."""
        c, height, width = self.image
        found = []
        for q, factor in zip(self.channels, self.downsampling, strict=True):
            if height % factor or width % factor:
                raise InputError(f"an image of {height} x {width} cannot be downsampled by {factor}; expected divisors")
            c, height, width = c * factor**2, height // factor, width // factor
            if self.kernel > min(height, width):
                raise InputError(f"kernel is {self.kernel}; expected at most the image, {height} x {width} there")
            found.append((c, height, width))
            c = q
        return found

    def _convolution_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {}
        for k, ((p, _, _), q) in enumerate(zip(self._sizes, self.channels, strict=True)):
            shapes |= {f"convXY{k}": (q + p, q, self.kernel, self.kernel), f"conva{k}": (1,)}
            shapes |= {f"convd{k}": (q,), f"convb{k}": (q,)}
        return shapes

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """The direct parameters of this network and their shapes."""
        return self._convolution_shapes() | self._dense[0].parameter_shapes()

    def _dense_part(self) -> LBDN:
        """The dense part, with the parameters as they are registered here (a cast or a move replaces them)."""
        dense = self._dense[0]
        for name in dense.parameter_shapes():
            dense._parameters[name] = getattr(self, name)
        return dense

    @property
    def gamma(self) -> torch.Tensor:
        """The bound (), differentiable where it is learnable."""
        return self._dense_part().gamma

    def _convolution(self, k: int) -> ExplicitConvolution:
        XY, a, d, b = (getattr(self, f"conv{name}{k}") for name in ("XY", "a", "d", "b"))
        return convolution(XY, a, d, b, self._sizes[k][1:], self.activation)

    def explicit(self) -> ExplicitConvLBDN:
        """Spectra and folded weights, differentiable in the parameters. Computed at each call: hoist it out of loops."""
        layers = tuple(self._convolution(k) for k in range(len(self.channels)))
        return ExplicitConvLBDN(layers, self._dense_part().explicit(), self.downsampling, self.image)  # type: ignore[arg-type]

    def forward(self, u: torch.Tensor) -> torch.Tensor:
        """y (..., ny) for images u (..., channels, height, width)."""
        return self.explicit()(u)

    def guarantee(self) -> ConvolutionGuarantee:
        """The bound, with the multipliers Psi^2 of every layer."""
        dense = self._dense_part().guarantee()
        multipliers = (np.exp(2 * to_array(getattr(self, f"convd{k}"))) for k in range(len(self.channels)))
        return ConvolutionGuarantee(dense.gamma, tuple(multipliers), dense)

    @classmethod
    def example(cls, seed: int = 0) -> "ConvLBDN":
        """Images of 4 x 6 pixels, the second convolution on 2 x 3 of them."""
        network = cls(
            (2, 4, 6), (3, 2), (4,), 2, kernel=2, downsampling=(1, 2), gamma=2.0, learnable_gamma=True, seed=seed
        )
        return disturb(network, seed + 1, 0.3)
