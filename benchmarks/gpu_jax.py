"""A training step of the JAX package (robustnn), timed in a process of its own: ``python -m benchmarks.gpu_jax '50,500 200,8192'``.

Prints one line of JSON per size as it comes: seconds to compile, and per step.
"""
# pyright: reportMissingImports=false

import json
import sys
import time


def main(sizes: list[tuple[int, int]], nx: int = 51, nu: int = 2, seconds: float = 2.0) -> None:
    """Compile and time the step for each (neurons, batch)."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import linen
    from robustnn.ren import ContractingREN

    jax.config.update("jax_default_matmul_precision", "highest")  # no TF32, as everywhere here
    optimizer = optax.adam(1e-4)

    def prepared(size: tuple[int, int]) -> tuple:
        nv, batch = size
        model = ContractingREN(nu, nx, nv, nx, activation=linen.tanh, identity_output=True)
        x, u = jax.random.normal(jax.random.key(0), (batch, nx)), jax.random.normal(jax.random.key(1), (batch, nu))

        def loss(parameters, x, u, x_next):
            return 0.5 * jnp.mean(jnp.sum((model.apply(parameters, x, u)[0] - x_next) ** 2, axis=-1))

        def step(parameters, state, x, u, x_next):
            value, gradients = jax.value_and_grad(loss)(parameters, x, u, x_next)
            updates, state = optimizer.update(gradients, state)
            return optax.apply_updates(parameters, updates), state, value

        # The values come from the shapes alone: to initialise by the model is to compile it once more.
        shapes = jax.eval_shape(model.init, jax.random.key(2), x, u)
        leaves, form = jax.tree.flatten(shapes)
        keys = jax.random.split(jax.random.key(3), len(leaves))
        values = [0.1 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
        parameters = jax.tree.unflatten(form, values)
        arguments = (parameters, optimizer.init(parameters), x, u, jnp.roll(x, 1, 0))
        start = time.perf_counter()
        compiled = jax.jit(step).lower(*arguments).compile()
        return size, compiled, arguments, time.perf_counter() - start

    for size in sizes:
        (nv, batch), step, (parameters, state, *samples), compile_seconds = prepared(size)
        times, end, value = [], time.perf_counter() + seconds, None
        while len(times) < 3 or time.perf_counter() < end:
            start = time.perf_counter()
            for _ in range(20):
                parameters, state, value = step(parameters, state, *samples)
            jax.block_until_ready(value)
            times.append((time.perf_counter() - start) / 20)
        found = {
            "nv": nv, "batch": batch, "compile_s": compile_seconds, "least": min(times),
            "median": sorted(times)[len(times) // 2], "device": str(jax.devices()[0]), "jax": jax.__version__,
        }  # fmt: skip
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main([tuple(map(int, size.split(","))) for size in sys.argv[1].split()])  # type: ignore[misc]
