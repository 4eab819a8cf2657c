"""Write ONNX files, field by field as onnx.proto numbers them."""

import struct
from collections.abc import Sequence

FLOAT, UINT8 = 1, 2


def model(
    nodes: Sequence[bytes],
    given: bytes,
    outputs: Sequence[str],
    weights: Sequence[bytes] = (),
) -> bytes:
    """Return a model of opset 17 with one input."""
    graph = b"".join(
        [
            *(_bytes(1, node) for node in nodes),
            _text(2, "graph"),
            *(_bytes(5, weight) for weight in weights),
            _bytes(11, given),
            *(_bytes(12, _text(1, name)) for name in outputs),
        ]
    )
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _number(2, 17))


def node(kind: str, inputs: Sequence[str], output: str) -> bytes:
    """Return a node without attributes."""
    return b"".join([*(_text(1, each) for each in inputs), _text(2, output), _text(4, kind)])


def given(name: str, *axes: int | str, dtype: int = FLOAT) -> bytes:
    """Return an input; an axis that is a word may have any length."""
    lengths = (_number(1, axis) if isinstance(axis, int) else _text(2, axis) for axis in axes)
    shape = b"".join(_bytes(1, each) for each in lengths)
    return _text(1, name) + _bytes(2, _bytes(1, _number(1, dtype) + _bytes(2, shape)))


def weight(name: str, values: Sequence[float], *axes: int) -> bytes:
    """Return float weights, in the file itself."""
    raw = struct.pack(f"<{len(values)}f", *values)
    dims = b"".join(_number(1, axis) for axis in axes)
    return dims + _number(2, FLOAT) + _text(8, name) + _bytes(9, raw)


def weight_beside(name: str, file: str, length: int, *axes: int) -> bytes:
    """Return float weights that lie in a file beside the model."""
    entries = {"location": file, "offset": "0", "length": str(length)}
    return b"".join(
        [
            *(_number(1, axis) for axis in axes),
            _number(2, FLOAT),
            _text(8, name),
            *(_bytes(13, _text(1, key) + _text(2, value)) for key, value in entries.items()),
            _number(14, 1),
        ]
    )


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])
