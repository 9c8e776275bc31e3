"""Many steps of a recurrent network as one differentiable operation, for training, in main memory or on a GPU.

With batches of columns and  [v; r] = F x + E u + b  (F = [C1; A], E = [D12; B2], b = [bv; bx]), a step is

    REN:    w = sigma(v + D11 w),                                  x+ = r + B1 w
    R2DN:   h_1 = sigma(v),  h_j = sigma(W_j h_{j-1} + b_j),       x+ = r + T h_L

(for an R2DN the outer matrices of its feedforward part are folded into F, E, b and T, so that its coupling width costs
nothing). Backward, with g_k = dL/dx_k, the sweep through the neurons gives delta_k for dL/dw_k + B1' g_{k+1}, and

    g_k = dL/dx_k (from outside) + F' [delta_k; g_{k+1}],    dL/d(F, E, b) = sum over k and the batch of [delta; g] (x', u', 1),
    dL/dB1 = sum of g w',   dL/dD11 = stril(sum of delta w')

Every sum is one matrix product over all steps at the end. Recorded by torch it would be one product and one addition of
the size of the weights at each step, which took nine tenths of the time of a REN with 512 neurons.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from observer.networks.kernels.equilibrium.stepwise import sweeps, without_denormals


def fits(*tensors: Tensor) -> bool:
    """Whether these can be taken: in main memory or on one GPU, of one dtype, float32 or float64."""
    kind, device = tensors[0].dtype, tensors[0].device
    able = kind in (torch.float32, torch.float64) and device.type in ("cpu", "cuda")
    return able and all(t.device == device and t.dtype == kind for t in tensors)


class UnrolledREN(torch.autograd.Function):
    """(x (N + 1, nx, batch), w (N, nv, batch)) of x0 (nx, batch), u (nu, N, batch), F, E, b, D11, B1, the activation's code."""

    @staticmethod
    def forward(
        ctx: Any, x0: Tensor, u: Tensor, F: Tensor, E: Tensor, b: Tensor, D11: Tensor, B1: Tensor, code: int
    ) -> tuple[Tensor, Tensor]:
        (nx, nv), (_, steps, batch) = B1.shape, u.shape
        with without_denormals(x0):
            given = _given(E, b, u)
            x, w = x0.new_empty(steps + 1, nx, batch), x0.new_empty(steps, nv, batch)
            both = x0.new_empty(nv + nx, batch)
            x[0] = x0
            own, rest = sweeps(D11, code), both[nv:]
            v, neurons = own.view(both[:nv]), own.view(w)
            for k in range(steps):
                torch.addmm(given[:, k], F, x[k], out=both)
                own.forward(v, neurons[k])
                torch.addmm(rest, B1, w[k], out=x[k + 1])
        ctx.save_for_backward(u, F, E, D11, B1, x, w)
        ctx.code = code
        return x, w

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        u, F, E, D11, B1, x, w = ctx.saved_tensors
        to_x, to_w = gradients
        (nx, nv), steps = B1.shape, u.shape[1]
        with without_denormals(x):
            back = x.new_empty(steps, nv + nx, u.shape[2])
            g, to_neurons, B1T, FT = to_x[steps], torch.empty_like(w[0]) if steps else w, B1.T, F.T
            own = sweeps(D11, ctx.code)
            outputs, inner, filled = own.view(w), own.view(to_neurons), own.view(back)
            for k in reversed(range(steps)):
                back[k, nv:] = g
                torch.addmm(to_w[k], B1T, g, out=to_neurons)
                own.backward(outputs[k], inner, filled[k, :nv])
                g = torch.addmm(to_x[k], FT, back[k])
            S, X, W = _columns(back), _columns(x[:steps]), _columns(w)
            gF, gE, gb, gu = _of_affine(ctx, S, X, u, E)
            gD = own.gradient(S[:nv], W) if ctx.needs_input_grad[5] else None
            return g, gu, gF, gE, gb, gD, S[nv:] @ W.T, None


class UnrolledDeep(torch.autograd.Function):
    """(x (N + 1, nx, batch), h (N, last width, batch)) of x0, u, F, E, b, T, the activation, and W_2, b_2, W_3, b_3, ..."""

    @staticmethod
    def forward(
        ctx: Any, x0: Tensor, u: Tensor, F: Tensor, E: Tensor, b: Tensor, T: Tensor, activation: str, *layers: Tensor
    ) -> tuple[Tensor, Tensor]:
        nx, (_, steps, batch) = len(T), u.shape
        matrices, columns = layers[::2], [bias[:, None] for bias in layers[1::2]]
        sizes = [len(F) - nx, *(len(W) for W in matrices)]
        with without_denormals(x0):
            given = _given(E, b, u)
            x, both = x0.new_empty(steps + 1, nx, batch), x0.new_empty(len(F), batch)
            hidden = [x0.new_empty(steps, size, batch) for size in sizes]
            x[0] = x0
            v, rest, apply = both[: sizes[0]], both[sizes[0] :], _INTO[activation]
            for k in range(steps):
                torch.addmm(given[:, k], F, x[k], out=both)
                h = apply(v, hidden[0][k])
                for W, bias, layer in zip(matrices, columns, hidden[1:], strict=True):
                    h = torch.addmm(bias, W, h, out=layer[k])
                    apply(h, h)
                torch.addmm(rest, T, h, out=x[k + 1])
        ctx.save_for_backward(u, F, E, T, x, *matrices, *hidden)
        ctx.activation, ctx.depth = activation, len(matrices)
        return x, hidden[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:
        u, F, E, T, x, *rest = ctx.saved_tensors
        matrices, hidden = rest[: ctx.depth], rest[ctx.depth :]
        to_x, to_h = gradients
        nx, steps, batch = len(T), u.shape[1], u.shape[2]
        q = len(F) - nx
        times_slope = _TIMES_SLOPE[ctx.activation]
        with without_denormals(x):
            back = x.new_empty(steps, q + nx, batch)
            deltas = [back[:, :q], *(torch.empty_like(h) for h in hidden[1:])]
            g, TT, FT, transposed = to_x[steps], T.T, F.T, [W.T for W in matrices]
            for k in reversed(range(steps)):
                back[k, q:] = g
                d = torch.addmm(to_h[k], TT, g, out=deltas[-1][k])
                times_slope(d, hidden[-1][k])
                for j in reversed(range(ctx.depth)):
                    d = torch.mm(transposed[j], d, out=deltas[j][k])
                    times_slope(d, hidden[j][k])
                g = torch.addmm(to_x[k], FT, back[k])
            S, H = _columns(back), [_columns(h) for h in hidden]
            gF, gE, gb, gu = _of_affine(ctx, S, _columns(x[:steps]), u, E)
            of_layers: list[Tensor] = []
            for delta, before in zip(deltas[1:], H, strict=False):
                D = _columns(delta)
                of_layers += [D @ before.T, D.sum(1)]
            return g, gu, gF, gE, gb, S[q:] @ H[-1].T, None, *of_layers


def _given(E: Tensor, b: Tensor, u: Tensor) -> Tensor:
    """E u + b of all steps (rows, N, batch)."""
    nu, steps, batch = u.shape
    return torch.addmm(b[:, None], E, u.reshape(nu, steps * batch)).view(len(E), steps, batch)


def _columns(array: Tensor) -> Tensor:
    """(rows, N batch) of (N, rows, batch)."""
    return array.transpose(0, 1).reshape(array.shape[1], array.shape[0] * array.shape[2])


def _of_affine(ctx: Any, S: Tensor, X: Tensor, u: Tensor, E: Tensor) -> tuple[Any, ...]:
    """dL/d(F, E, b, u) from what comes back to F x + E u + b."""
    columns = u.reshape(len(u), S.shape[1])
    gu = (E.T @ S).view(u.shape) if ctx.needs_input_grad[1] else None
    return S @ X.T, S @ columns.T, S.sum(1), gu


_INTO = {
    "relu": lambda v, out: torch.clamp_min(v, 0, out=out),
    "tanh": lambda v, out: torch.tanh(v, out=out),
    "sigmoid": lambda v, out: torch.sigmoid(v, out=out),
}

# grad *= sigma'(v), by way of h = sigma(v); one operation each, in place
_ATEN = torch.ops.aten
_TIMES_SLOPE = {
    "relu": lambda grad, h: _ATEN.threshold_backward.grad_input(grad, h, 0, grad_input=grad),
    "tanh": lambda grad, h: _ATEN.tanh_backward.grad_input(grad, h, grad_input=grad),
    "sigmoid": lambda grad, h: _ATEN.sigmoid_backward.grad_input(grad, h, grad_input=grad),
}
