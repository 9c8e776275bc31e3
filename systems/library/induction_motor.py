"""An induction motor without a speed sensor: rotor flux and speed, from the stator currents."""

from systems.library.facts import Facts
from systems.signals import Parameter, Signal
from systems.system import System

# The working point at 130 V and 100 rad/s, to rounding: slip 2 %, flux 1.23 V s.
FACTS = Facts(
    equilibria=(
        (
            (18.57809523538015, 17.01677837623887, 1.2332544442952893, -0.031192208232982643, 97.93224251249066),
            (0.0, 130.0, 100.0),
        ),
    )
)


def induction_motor() -> System:
    """Two-phase model in the frame that turns with the stator voltage; currents i [A], rotor flux psi [V s], speed w [rad/s].

    i_d'   = -gamma i_d + ws i_q + eta beta psi_d + beta np w psi_q + u_d / (sigma Ls)
    i_q'   = -gamma i_q - ws i_d + eta beta psi_q - beta np w psi_d + u_q / (sigma Ls)
    psi_d' = -eta psi_d + (ws - np w) psi_q + eta M i_d
    psi_q' = -eta psi_q - (ws - np w) psi_d + eta M i_q
    w'     = np M / (J Lr) (psi_d i_q - psi_q i_d) - (B w + load) / J

    eta = Rr/Lr, sigma = 1 - M^2/(Ls Lr), beta = M/(sigma Ls Lr), gamma = Rs/(sigma Ls) + eta beta M. The voltages u [V] and
    the frequency ws [rad/s] of the frame are known; both currents are measured. Source: Marino, Peresada, Valigi, IEEE TAC
    38(2), 1993 (model, and data of the 15 kW motor; friction and load are ours). In this frame the
    flux stays near one direction, so that the currents determine the speed; at psi = 0 they do not.
    """

    def dynamics(x, u, p):  # type: ignore[no-untyped-def]
        i_d, i_q, psi_d, psi_q, speed = x
        u_d, u_q, frame = u
        eta = p["Rr"] / p["Lr"]
        leak = p["Ls"] - p["M"] ** 2 / p["Lr"]  # sigma Ls
        beta = p["M"] / (leak * p["Lr"])
        gamma = p["Rs"] / leak + eta * beta * p["M"]
        electrical = p["np"] * speed
        torque = p["np"] * p["M"] / p["Lr"] * (psi_d * i_q - psi_q * i_d)
        return [
            -gamma * i_d + frame * i_q + beta * (eta * psi_d + electrical * psi_q) + u_d / leak,
            -gamma * i_q - frame * i_d + beta * (eta * psi_q - electrical * psi_d) + u_q / leak,
            -eta * psi_d + (frame - electrical) * psi_q + eta * p["M"] * i_d,
            -eta * psi_q - (frame - electrical) * psi_d + eta * p["M"] * i_q,
            (torque - p["B"] * speed - p["load"]) / p["J"],
        ]

    return System(
        name="induction_motor", description="Induction motor in the frame of its voltage, stator currents measured",
        source="Marino, Peresada, Valigi (1993)",
        states=[
            Signal("i_d", "A", (-40.0, 80.0), initial=(15.0, 22.0)),
            Signal("i_q", "A", (-50.0, 90.0), initial=(12.0, 22.0)),
            Signal("psi_d", "V s", (0.9, 1.5), initial=(1.2, 1.27)),
            Signal("psi_q", "V s", (-0.5, 0.4), initial=(-0.06, 0.0)),
            Signal("speed", "rad/s", (75.0, 120.0), initial=(96.0, 100.0)),
        ],
        inputs=[
            Signal("u_d", "V", (-2.0, 2.0)),
            Signal("u_q", "V", (128.0, 132.0)),
            Signal("frame", "rad/s", (99.0, 101.0)),
        ],
        outputs=[Signal("measured_i_d", "A"), Signal("measured_i_q", "A")],
        parameters={
            "Rs": Parameter(0.18, "ohm", (0.16, 0.22)),
            "Rr": Parameter(0.15, "ohm", (0.13, 0.19)),
            "Ls": Parameter(0.0699, "H"),
            "Lr": Parameter(0.0699, "H"),
            "M": Parameter(0.068, "H"),
            "np": Parameter(1.0, ""),
            "J": Parameter(0.0586, "kg m^2", (0.05, 0.08)),
            "B": Parameter(0.01, "N m s/rad", (0.005, 0.02)),
            "load": Parameter(20.0, "N m", (0.0, 40.0)),
        },
        dynamics=dynamics, output=lambda x: [x[0], x[1]], dt=0.001, duration=1.0,
    )  # fmt: skip
