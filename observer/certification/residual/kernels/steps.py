"""One step of plant and network in polynomial forms."""

from observer.certification.residual.kernels.compositions import compose
from observer.certification.residual.kernels.forms import add_to, clear, multiply, total_of
from observer.certification.residual.kernels.operations import (
    ADD,
    CONST,
    INPUT,
    LIBRARY,
    MUL,
    RELU,
    SCALE,
    SHIFT,
    STATE,
    SUB,
    TANH,
    TINY,
    UNIT,
)


def run_program(code, a, b, c, x, u, reg, basis, end, scratch):
    """Fill ``reg`` (instructions, end + 2) from the forms of states ``x`` (nx, end) and inputs ``u`` (nu, end)."""
    for k in range(code.shape[0]):
        op, out = code[k], reg[k]
        if op == STATE or op == INPUT:
            source = x[a[k]] if op == STATE else u[a[k]]
            for i in range(end):
                out[i] = source[i]
            out[end] = out[end + 1] = 0.0
        elif op == CONST:
            out[:] = 0.0
            out[0] = c[k]
        elif op == MUL:
            multiply(reg[a[k]], reg[b[k]], out, basis, end, scratch)
        elif op == SCALE or op == SHIFT or op == ADD or op == SUB:
            left = reg[a[k]]
            factor = c[k] if op == SCALE else 1.0
            total = 0.0
            if op == ADD or op == SUB:
                right, sign = reg[b[k]], 1.0 if op == ADD else -1.0
                for i in range(end):
                    out[i] = left[i] + sign * right[i]
                    total += abs(out[i])
                out[end] = left[end] + right[end]
                out[end + 1] = left[end + 1] + right[end + 1]
            else:
                for i in range(end):
                    out[i] = factor * left[i]
                    total += abs(out[i])
                out[end], out[end + 1] = abs(factor) * left[end], abs(factor) * left[end + 1]
                if op == SHIFT:
                    total += abs(c[k])
                    out[0] += c[k]
            rounding = 0.0 if factor == -1.0 else 4.0 * UNIT * (total + out[end]) + TINY
            out[end] += rounding
            out[end + 1] += rounding
        else:
            source = reg[a[k]]
            radius, slope = compose(op, c[k], source, out, basis, end, source[end], scratch)
            total = 0.0
            for i in range(end):
                total += abs(out[i])
            out[end] = radius
            out[end + 1] = abs(slope) * source[end + 1] + 2.0 * LIBRARY * total


def advance(net, plant, output, x, xh, u, known, work, basis):
    """One step of plant and network: forms of f_o(xh, u, h(x, u)) - F(x, u) in ``gap``, of F in the plant's registers.

    Symbols of ``gap`` (nx, nt + ny + nv + 2): one for the remainder of each output, one for each neuron.
    """
    AB, B1, CD, D11, bx, bv, activation = net  # AB = [A | B2], CD = [C1 | D12]
    reg, out_reg, z, w, v, gap, total, rounding, scratch = work
    nx, nv, ny, nk = bx.shape[0], bv.shape[0], output[4].shape[0], known.shape[0]
    nz, end, first = nx + nk + ny, basis[1], basis[1] + ny
    run_program(plant[0], plant[1], plant[2], plant[3], x, u, reg, basis, end, scratch)
    run_program(output[0], output[1], output[2], output[3], x, u, out_reg, basis, end, scratch)
    clear(z)
    for j in range(nz):  # what the network receives: its state, the known inputs, the outputs
        y = j - nx - nk
        source = xh[j] if j < nx else u[known[j - nx]] if y < 0 else out_reg[output[4][y]]
        add_to(z[j], 1.0, source, end)
        if y >= 0:
            z[j, end + y] = source[end]
    unit = 2.0 * (nz + nv + 6) * UNIT
    for i in range(nv):
        stop = first + i
        for k in range(stop):
            v[k] = 0.0
        v[0] = bv[i]
        size = abs(bv[i])
        for j in range(nz):
            size += abs(CD[i, j]) * total_of(z[j], first)
            add_to(v, CD[i, j], z[j], first)
        for j in range(i):
            if D11[i, j] != 0.0:
                size += abs(D11[i, j]) * total[j]
                add_to(v, D11[i, j], w[j], first + j + 1)
        lost = unit * size + TINY
        half = 0.5 if activation == 2 else 1.0  # sigmoid(v) = (1 + tanh(v / 2)) / 2
        for k in range(stop):
            v[k] *= half
        kind = RELU if activation == 0 else TANH
        radius, slope = compose(kind, 0.0, v, w[i], basis, stop, half * lost, scratch)
        for k in range(stop):
            w[i, k] *= half
        if activation == 2:
            w[i, 0] += 0.5
        radius = half * radius + 4.0 * (1.0 - half) * UNIT
        w[i, stop] = radius
        total[i] = total_of(w[i], stop + 1)
        mine = half * half * abs(slope) * lost + (0.0 if activation == 0 else 4.0 * LIBRARY)
        rounding[i] = min(mine / radius, 1.0) if radius > 0.0 else 0.0
    last = first + nv
    clear(gap)
    for i in range(nx):
        row, step = gap[i], reg[plant[4][i]]
        size = abs(bx[i]) + total_of(step, end)
        add_to(row, -1.0, step, end)
        row[0] += bx[i]
        for j in range(nz):
            size += abs(AB[i, j]) * total_of(z[j], first)
            add_to(row, AB[i, j], z[j], first)
        for j in range(nv):
            size += abs(B1[i, j]) * total[j]
            add_to(row, B1[i, j], w[j], first + j + 1)
        row[last] = step[end] + unit * size + TINY
        row[last + 1] = step[end + 1] + unit * size
