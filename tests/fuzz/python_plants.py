"""Plants as Python scripts: a person's own code that is wrong, careless or wild. It may run; it must be told what is wrong."""

from tests.fuzz.case import Case, Dice
from tests.fuzz.texts import damaged
from tests.fuzz.values import word

_GOOD = """import numpy as np
from systems import Parameter, Signal, System

def dynamics(x, u, p):
    {before}
    return {dynamics}

def output(x):
    return {output}

system = System(name={name}, states=[Signal("q", "m", {range}), Signal("w", "m/s", (-1.5, 1.5))], inputs=[Signal("u", "N", (-1, 1))],
    outputs=[Signal("y", "m", noise={noise})], parameters={parameters}, dynamics={function}, output=output, dt={dt}, kind={kind})
{after}
"""
_PARTS = {
    "before": ("pass",), "dynamics": ("[x[1], -p['k']*x[0] - 0.2*x[1] + u[0]]",), "output": ("[x[0]]",), "name": ("'plant'",),
    "range": ("(-1, 1)",), "noise": ("0.01",), "parameters": ("{'k': 1.0}",), "function": ("dynamics",), "dt": ("0.1",),
    "kind": ("'continuous'",), "after": ("",),
}  # fmt: skip
_ODD = {
    "before": (
        "raise ValueError('no')", "raise SystemExit(0)", "import sys; sys.exit(3)", "raise KeyboardInterrupt", "return None",
            "return x", "print('hi')",
        "raise MemoryError", "raise RecursionError", "raise StopIteration", "raise BaseException('x')", "raise GeneratorExit",
            "x[0] = 1", "x.clear()",
        "if x[0] > 0: pass", "float(x[0])", "int(x[0])", "bool(x[0])", "str(x[0])", "len(u)", "x[5]", "p['none']", "u[-7]",
            "import nothing_here",
        "while x[0] > 0: pass", "assert False", "1/0", "return dynamics(x, u, p)", "import warnings; warnings.warn('mine')",
            "open('mine.txt', 'w')",
        "raise ValueError('\\x1b[31m')", "raise ValueError('x' * 100000)", "raise UnicodeDecodeError('utf-8', b'', 0, 1, 'x')",
            "import os; os.getpid",
        "raise type('Mine', (Exception,), {'__str__': lambda s: 1/0})()", "yield 1", "x = np.asarray(x)", "np.random.rand()", "del x",
    ),
    "dynamics": (
        "None", "[]", "x", "[x[1]]", "[x[1], x[0], x[0]]", "x[0]", "(x[1], u[0])", "{'q': x[1]}", "np.array([x[1], x[0]])",
            "np.array([[x[1], x[0]]])",
        "[x[1], 'text']", "[x[1], None]", "[x[1], 1j]", "[x[1], float('nan')]", "[x[1], float('inf')]", "[x[1], 1e308*x[0]*1e10]",
            "[x[1], np.sin]",
        "[x[1], x[0] if x[0] > 0 else 1]", "[x[1], np.where(x[0] > 0, 1, -1)]", "[x[1], -np.sign(x[0])]", "[x[1], x[0] ** x[1]]",
            "[x[1], x[0] // 2]",
        "[x[1], x[0] % 2]", "[x[1], x[0] @ x[1]]", "[x[1], x[0] and x[1]]", "[x[1], max(x)]", "[x[1], sum(x)]",
            "[x[1], np.linalg.norm(x)]",
        "[x[1], np.dot(x, x)]", "[x[1], np.floor(x[0])]", "[x[1], abs(x[0])]", "[x[1], round(x[0])]", "[x[1], x[0] == 1]",
            "[x[1], x[0] != x[0]]",
        "[x[1], np.interp(x[0], [0, 1], [0, 1])]", "[x[1], np.linalg.inv([[x[0]]])[0][0]]", "[x[1], 10**400 * x[0]]", "lambda: 1",
            "[1, 2]", "[True, x[0]]",
        "iter([x[1], x[0]])", "(v for v in x)", "[x[1], [x[0]]]", "np.zeros((2, 2))", "np.zeros(10**7)", "[x[1], np.float32(1)]",
            "[x[1], np.exp(1000 + x[0])]",
    ),
    "output": ("None", "[]", "x", "x[0]", "[x[0], x[1]]", "[1.0]", "[x[0]*0]", "'y'", "[None]", "[float('nan')]", "[x[7]]", "u",
        "[x[0]]*3", "np.array(x)", "[np.sqrt(x[0] - 5)]"),
    "name": ("None", "3", "''", "'\\x1b[31m'", "'<script>'", "'x'*100000", "b'x'", "'\\ud800'", "['a']", "'../../x'", "'a\\nb'",
        "'\\0'"),
    "range": (
        "None", "(1, -1)", "(0, 0)", "(0,)", "[-1, 1]", "'ab'", "(float('nan'), 1)", "(-float('inf'), 1)", "(-1e160, 1e160)",
            "(-1e-300, 1e-300)", "(1j, 2)", "5",
        "(None, None)", "np.array([-1, 1])", "(True, False)", "(-10**400, 10**400)", "('a', 'b')", "range(2)", "(-1, 1, 2)", "{-1, 1}",
            "(-5e-324, 5e-324)",
    ),
    "noise": ("-1", "None", "float('nan')", "float('inf')", "1e300", "1e-300", "'a'", "True", "10**400", "1j", "[0.1]"),
    "parameters": ("None", "[]", "{'k': None}", "{'k': float('nan')}", "{}", "{1: 2}", "{'k': Parameter(1.0, 'kg', (2, 1))}",
        "{'k': 'x'}", "{'k': 10**400}", "{'x': 1.0}", "{'': 1}", "{'k': [1, 2]}", "{'k': 1e300}"),
    "function": ("None", "3", "'dynamics'", "lambda x: x", "lambda: 1", "lambda x, u, p, q: x", "lambda *a: a", "lambda **k: k",
        "System", "print", "dynamics(1, 2, 3)", "np.sin", "len", "lambda t, x: [x[1], np.sin(t)]", "lambda x, u: [x[1], u[0]]"),
    "dt": ("None", "0", "-1", "float('nan')", "float('inf')", "1e-300", "1e300", "'a'", "True", "10**400", "np.float64(0.1)", "[0.1]"),
    "kind": ("'discrete'", "'hybrid'", "None", "3", "''"),
    "after": (
        "system = None", "del system", "system = lambda: None", "system = lambda: system", "system = [system]", "system = 'box'",
            "def system(): return 3",
        "def system(a): return a", "raise SystemExit", "raise SystemExit('bye')", "import sys; sys.exit(0)", "raise KeyboardInterrupt",
            "print('hello')",
        "import sys; sys.stdout.close()", "import sys; sys.stderr.close()", "import sys; sys.stdout = None",
            "import sys; sys.modules.clear()", "import os; os._exit(7)",
        "import os; os.chdir('/')", "import threading; threading.Thread(target=print).start()", "system.dt = -1", "system.name = 3",
            "class system: pass",
        "async def system(): pass", "def system(): yield 1", "import sys; sys.setrecursionlimit(10)",
            "import atexit; atexit.register(lambda: 1/0)",
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)", "x = 'a' * 10**10", "import numpy; numpy.sin = None",
            "raise ExceptionGroup('g', [ValueError()])",
        "import warnings; warnings.simplefilter('error')", "import gc; gc.disable()", "import logging; logging.error('mine')", "1/0",
            "def broken(:", "\tx = 1\n  y = 2", "from systems import nothing",
        "import plant", "from .other import x", "__import__('os').getcwd()", "raise ValueError('\\x1b[31m' + 'x' * 10000)", "\x00",
    ),
}  # fmt: skip
#: what ends the program from within, by a person's own will: any exit code is theirs
_THEIRS = (
    "os._exit", "sys.stdout", "sys.stderr", "sys.modules", "setrecursionlimit", "numpy.sin", "SIG_IGN", "atexit", "while x",
    "KeyboardInterrupt",
)  # fmt: skip


def make(dice: Dice) -> Case:
    """One or two parts of a good script replaced by odd ones."""
    parts = {name: choice[0] for name, choice in _PARTS.items()}
    notes = []
    for name in dice.sample(list(_ODD), dice.choice((1, 1, 1, 2))):
        parts[name] = dice.choice(_ODD[name])
        notes.append(f"{name}: {parts[name][:60]!r}")
    content: str | bytes = _GOOD.format(**parts)
    if dice.chance(0.06):
        content, note = damaged(dice, _GOOD.format(**parts))
        notes.append(note)
    file = dice.write(dice.choice(("plant.py", "plant.py", "plant.py", "ü b.py", "plant.PY")), content)
    if dice.chance(0.05):
        dice.write("other.py", f"x = {word(dice)!r}")
    words = ["check", file] if dice.chance(0.8) else ["simulate", file, "--out", "r", "--trajectories", "2"]
    theirs = any(part in text for part in _THEIRS for text in notes)
    return Case(words, "; ".join(notes), theirs=theirs)
