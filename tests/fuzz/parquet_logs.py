"""Logs as Parquet: nested, decimal, dated and empty columns, and metadata that lies."""

import io
from typing import Any

import numpy as np

from tests.fuzz.array_values import broken
from tests.fuzz.case import Dice
from tests.fuzz.columns import Columns


def content(dice: Dice, columns: Columns) -> tuple[bytes, str]:
    """(bytes, what is odd)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kind = dice.among("plain|types|types|types|broken|broken|twice|metadata|many groups|index", "|")
    arrays = {
        name: _arrow(dice, np.asarray(values), kind == "types" and dice.chance(0.5)) for name, values in columns.items()
    }
    length = min((len(array) for array in arrays.values()), default=0)
    fields = [(_name(name), array.slice(0, length)) for name, array in arrays.items()]
    if kind == "twice" and fields:
        fields.append(fields[0])
    metadata = None
    if kind in ("metadata", "index"):
        span = b'{"kind": "range", "name": "t", "start": 0, "stop": 1000000000000, "step": 1}'
        claims = (b"{", b"null", b"[]", b"{}", b'{"index_columns": ["t"]}', b'{"index_columns": [{"kind": "range"}]}',
            b'{"index_columns": [' + span + b'], "columns": [], "column_indexes": []}',
            b'{"index_columns": ["nothing"], "columns": [{"name": null}], "column_indexes": [{}]}')  # fmt: skip
        metadata = {b"pandas": dice.choice(claims)}
    schema = pa.schema(
        [
            pa.field(
                name,
                array.type,
                metadata={b"unit": dice.choice((b"s", b"\xff", b"", b"\x1b[31m", b"m" * 50_000))}
                if kind == "metadata"
                else None,
            )
            for name, array in fields
        ],
        metadata,
    )
    stream = io.BytesIO()
    pq.write_table(
        pa.table([array for _, array in fields], schema=schema), stream, row_group_size=1 if kind == "many groups" else None,
        compression=dice.choice(("snappy", "none", "gzip", "zstd")), use_dictionary=dice.chance(0.5),
    )  # fmt: skip
    return broken(dice, stream.getvalue(), kind == "broken"), kind


def _arrow(dice: Dice, values: np.ndarray, odd: bool) -> Any:
    import decimal

    import pyarrow as pa

    if values.dtype.kind in "OUS":
        return pa.array([str(item) for item in values])
    if not odd:
        return pa.array(values)
    n, small = len(values), [int(np.clip(np.nan_to_num(v), -1e6, 1e6)) for v in values]
    return dice.one(
        lambda: pa.array([None] * n), lambda: pa.array([None] * n, pa.float64()), lambda: pa.array([str(v) for v in values]),
            lambda: pa.array([[1.0]] * n),
        lambda: pa.array([{"a": 1}] * n), lambda: pa.array([decimal.Decimal(v) for v in small]), lambda: pa.array(small,
            pa.timestamp("ns", "Europe/Berlin")),
        lambda: pa.array(small, pa.timestamp("us")), lambda: pa.array(small, pa.date32()), lambda: pa.array(small, pa.duration("ms")),
            lambda: pa.array([v % 2 == 0 for v in small]),
        lambda: pa.array([str(v) for v in values]).dictionary_encode(), lambda: pa.array([b"\xff"] * n), lambda: pa.array(small,
            pa.int32()), lambda: pa.array([abs(v) for v in small], pa.uint64()),
        lambda: pa.array([v % 1000 for v in small], pa.time32("s")), lambda: pa.array([2**63 + v for v in map(abs, small)],
            pa.uint64()), lambda: pa.array(values.astype(np.float16)),
        lambda: pa.array([float("nan") if k % 2 else None for k in range(n)], pa.float64(), from_pandas=False),
            lambda: pa.array(["\x1b[31m"] * n), lambda: pa.nulls(n),
    )  # fmt: skip


def _name(name: str) -> str:
    """One that the format can hold: it is UTF-8, and lone surrogates are not."""
    return name.replace("\0", "").encode(errors="replace").decode()
