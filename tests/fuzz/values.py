"""Hostile values: numbers, words, payloads that would act if anything but data were made of them, and places on the disk."""

import os
import socket

from tests.fuzz.case import Dice

CANARY = "canary_7f3a"
#: what each would do: make the file CANARY beside the folder, or show itself unescaped
PAYLOADS = (
    f"__import__('os').system('touch ../outside/{CANARY}')", f"');__import__('os').system('touch ../outside/{CANARY}');('",
    f"$(touch ../outside/{CANARY})", f"`touch ../outside/{CANARY}`", f"; touch ../outside/{CANARY} #", f"| touch ../outside/{CANARY}",
    f"!!python/object/apply:os.system ['touch ../outside/{CANARY}']",
    f"{{{{ cycler.__init__.__globals__.os.system('touch ../outside/{CANARY}') }}}}", f"<script>{CANARY}</script>",
    f"<img src=x onerror={CANARY}>", f'"><svg onload={CANARY}>', f"=cmd|'/c touch ../outside/{CANARY}'!A0", "{0.__class__.__mro__}",
    "%s%s%s%n", "{7*7}{{7*7}}${7*7}", "../../../etc/passwd",
)  # fmt: skip
CONTROLS = (
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\a", "\b\b\b", "a\rb", "\x00", "\x7f", "\x9b31m", "\u202eevil", "\u200bzero",
    "\u2066x\u2069", "\ufeff", "\u2028", "\v\f", "\x1b[2J\x1b[H",
)  # fmt: skip
FOREIGN = (
    "\udcff", "größe", "速度", "µ", "ﬁ", "İ", "ß", "ͅ", "a\u0301", "😀", "q\u0430", "x²", "−1", "٣", "Ⅳ", "\u00a0", "nan", "inf",
)  # fmt: skip
NUMBERS = (
    "0", "-0.0", "1", "-1", "nan", "inf", "-inf", "1e-300", "-1e-300", "5e-324", "1e300", "-1e300", "1e308", "1e400", "1e160", "1e-160",
    "1e10", "1e-10", "0.1", "2", "1e5", "1e30", "1" + "0" * 30, "9" * 400, "2147483648", "9223372036854775808", "-2147483649", "0x10",
    "1_000", "1,5", "1.5.2", "1e", "+1", " 1 ", "١", "", "x", "true", "None", "1j", "1/3", "--", "3.0", "0.5s", "1e-9",
)  # fmt: skip
TIMES = (
    *NUMBERS, "0s", "-1s", "1e-300s", "1e300h", "nans", "infs", "5 s", "2m", "1ms", "s", "1d", "1h30m", "auto", "AUTO", "1s1",
)  # fmt: skip
RESERVED = (
    "t", "pi", "e", "sin", "x", "u", "p", "dt", "where", "lambda", "class", "None", "import", "self", "numpy", "nan", "lengths",
)  # fmt: skip


def number(dice: Dice) -> str:
    """A number as text, mostly an odd one."""
    return dice.choice(NUMBERS) if dice.chance(0.8) else repr(dice.uniform(-10, 10) * 10 ** dice.randint(-12, 12))


def word(dice: Dice) -> str:
    """A name that somebody careless or hostile might choose."""
    return dice.one(
        lambda: dice.choice(PAYLOADS),
        lambda: dice.choice(CONTROLS),
        lambda: dice.choice(FOREIGN),
        lambda: dice.choice(RESERVED),
        lambda: dice.choice(NUMBERS),
        lambda: "a" * dice.choice((1, 300, 5_000, 100_000)),
        lambda: "".join(chr(dice.choice((dice.randint(32, 126), dice.randint(1, 0x2FF)))) for _ in range(dice.randint(1, 12))),
        "", " ", "a b", "a.b", "a=b", "a,b", "_", "__class__", "A", "q", "w", "y", "states.q", "q_hat", "-q", "--help", "\\", "'", '"',
    )  # fmt: skip


def file_name(dice: Dice, ending: str) -> str:
    """A name for a file, seldom a good one."""
    odd = argument(dice, word(dice)).replace("/", "_").lstrip("-")[:60]
    return f"file{ending}" if dice.chance(0.9) else f"{odd}{ending}"


def argument(dice: Dice, text: str) -> str:
    """The text as a word of a command line: no NUL, and nothing of the machine's own but devices; it may be where results are put."""
    text = text.replace("\0", "")[:100_000]
    return text if text.startswith(("/dev/", "/proc/")) or not text.startswith("/") else f"./{text.lstrip('/')}"


def place(dice: Dice, ending: str = "") -> str:
    """Something in the folder that is no ordinary file, or that is elsewhere; returns its name."""
    name = f"place{ending}"
    path = dice.folder / name

    def node() -> str:
        server = socket.socket(socket.AF_UNIX)
        server.bind(name)
        return name

    def deep() -> str:
        return "/".join(["d"] * dice.choice((50, 2_000))) + ending

    kinds = {
        "folder": lambda: (path.mkdir(), name)[1],
        "pipe": lambda: (os.mkfifo(path), name)[1],
        "socket": node,
        "dangling": lambda: (path.symlink_to("nowhere"), name)[1],
        "loop": lambda: (path.symlink_to(name), name)[1],
        "elsewhere": lambda: (path.symlink_to(dice.outside / "victim.txt"), name)[1],
        "device": lambda: dice.among("/dev/zero /dev/null /dev/full /dev/stdin /dev/random /proc/self/mem /proc/self/status"),
        "device link": lambda: (path.symlink_to(dice.choice(("/dev/zero", "/dev/null", "/dev/full"))), name)[1],
        "empty": lambda: dice.write(name, b""),
        "closed": lambda: (dice.write(name, b"x"), path.chmod(0), name)[2],
        "absent": lambda: name,
        "deep": deep,
        "long": lambda: "n" * dice.choice((255, 256, 5_000)) + ending,
        "odd": lambda: argument(dice, word(dice)).replace("/", "_")[:200] + ending,
        "root": lambda: dice.among(".|..|| |~|./.|-", "|"),
        "outside": lambda: "../outside/victim.txt",
    }  # fmt: skip
    return kinds[dice.choice(list(kinds))]()
