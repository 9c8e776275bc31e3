"""Other numbers in a plant's TOML file, everything else as the person wrote it: comments, order, spaces."""

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

_NUMBER = r"[+-]?(?:inf|nan|[0-9][0-9_]*(?:\.[0-9_]+)?(?:[eE][+-]?[0-9]+)?|0x[0-9a-fA-F]+)"
_HEADER = re.compile(r"\s*\[\s*([A-Za-z_][\w]*)(?:\s*\.\s*\"?([A-Za-z_]\w*)\"?)?\s*\]\s*(?:#.*)?$")


def with_values(text: str, parameters: Mapping[str, float], noise: Mapping[str, float]) -> str:
    """The text of a plant with these values of parameters, and this ``noise`` of outputs that state none.

    What cannot be changed where it stands is written anew, without comments: the result always holds exactly these values.
    """
    wanted = tomllib.loads(text)
    for name, value in parameters.items():
        entry = wanted["parameters"][name]
        wanted["parameters"][name] = {**entry, "value": value} if isinstance(entry, dict) else value
    for name, value in noise.items():
        entry = wanted["outputs"][name]
        wanted["outputs"][name] = (entry if isinstance(entry, dict) else {"equation": entry}) | {"noise": value}
    lines, table, entry = [], "", ""
    for line in text.split("\n"):
        header = _HEADER.match(line)
        if header:
            table, entry = header[1], header[2] or ""
            lines.append(line)
            if table == "outputs" and entry in noise:
                lines.append(f"noise = {noise[entry]!r}")
        elif table == "parameters":
            lines.append(_parameter(line, entry, parameters))
        elif table == "outputs" and not entry:
            lines.append(_output(line, noise))
        else:
            lines.append(line)
    edited = "\n".join(lines)
    try:
        same = tomllib.loads(edited) == wanted
    except tomllib.TOMLDecodeError:
        same = False
    return edited if same else _written(wanted)


def _parameter(line: str, entry: str, values: Mapping[str, float]) -> str:
    if entry:
        return re.sub(rf"^(\s*value\s*=\s*){_NUMBER}", rf"\g<1>{values[entry]!r}", line) if entry in values else line
    found = re.match(r"\s*\"?([A-Za-z_]\w*)\"?\s*(\.\s*value\s*)?=\s*", line)
    if not found or found[1] not in values:
        return line
    head, rest, value = line[: found.end()], line[found.end() :], repr(values[found[1]])
    if rest.startswith("{"):
        return head + re.sub(rf"([{{,]\s*value\s*=\s*){_NUMBER}", rf"\g<1>{value}", rest, count=1)
    return head + re.sub(rf"^{_NUMBER}", value, rest)


def _output(line: str, noise: Mapping[str, float]) -> str:
    found = re.match(r"\s*\"?([A-Za-z_]\w*)\"?\s*=\s*", line)
    if not found or found[1] not in noise:
        return line
    head, rest, value = line[: found.end()], line[found.end() :], repr(noise[found[1]])
    if rest.startswith("{"):
        rest = re.sub(rf"([{{,]\s*noise\s*=\s*){_NUMBER}", rf"\g<1>{value}", rest, count=1)
        inner = re.match(r"\{((?:[^{}\"'#]|\"[^\"]*\"|'[^']*')*?)\s*\}", rest)
        if not inner or re.search(r"[{,]\s*noise\s*=", rest):
            return head + rest
        return f"{head}{{{inner[1]}, noise = {value} }}{rest[inner.end() :]}"
    text = re.match(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'", rest)
    return f"{head}{{ equation = {text[0]}, noise = {value} }}{rest[text.end() :]}" if text else line


def _written(document: Mapping[str, Any]) -> str:
    """A document of tables of plain entries as TOML."""
    lines = [f"{json.dumps(key)} = {_value(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for table, entries in document.items():
        if isinstance(entries, dict):
            lines += ["", f"[{table}]", *(f"{key} = {_value(value)}" for key, value in entries.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + " }"
    return repr(value)
