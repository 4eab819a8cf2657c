"""Read and extend an ONNX file without the ``onnx`` package.

The file is a protobuf message (onnx.proto): ``ModelProto.graph`` is field 7, ``GraphProto.node`` 1,
``initializer`` 5 and ``output`` 12, ``NodeProto.output`` 2, ``TensorProto.external_data`` 13.
Protobuf merges messages that are written one after the other and appends their repeated fields, so
that an output is added to a graph by writing a small second graph behind the file.
"""

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def tensors(model: bytes) -> list[str]:
    """Return the name of every tensor that a node of the graph gives, in the graph's order.

    Raises ``ValueError`` where the bytes are no protobuf message.
    """
    nodes = (node for graph in _all(model, 7) for node in _all(graph, 1))
    return [bytes(name).decode() for node in nodes for name in _all(node, 2) if name]


def companions(model: bytes) -> list[str]:
    """Return the names of the files beside the model that hold its larger weights, sorted."""
    weights = (weight for graph in _all(model, 7) for weight in _all(graph, 5))
    entries = (entry for weight in weights for entry in _all(weight, 13))
    pairs = ((next(_all(entry, 1), b""), next(_all(entry, 2), b"")) for entry in entries)
    return sorted({bytes(value).decode() for key, value in pairs if bytes(key) == b"location"})


def exposed(model: bytes, tensor: str) -> bytes:
    """Return the model with one more output: an inner tensor, of whatever shape it has."""
    name = _field(1, tensor.encode())
    return model + _field(7, _field(12, name))


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + _varint(rest) if rest else bytes([low])


def _all(message: bytes | memoryview, wanted: int) -> Iterator[memoryview]:
    """Yield the content of every field of that number which holds bytes or a message."""
    view, at = memoryview(message), 0
    while at < len(view):
        tag, at = _number(view, at)
        number, kind = tag >> 3, tag & 7
        if kind == _BYTES:
            length, at = _number(view, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        elif kind == _VARINT:
            at, length = _number(view, at)[1], 0
        else:
            raise ValueError(f"no protobuf message: wire type {kind} at byte {at}")
        if at + length > len(view):
            raise ValueError("no protobuf message: it ends early")
        if kind == _BYTES and number == wanted:
            yield view[at : at + length]
        at += length


def _number(view: memoryview, at: int) -> tuple[int, int]:
    """Return the varint at a place, and the place after it."""
    value = shift = 0
    while at < len(view) and shift < 64:
        byte = view[at]
        at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
        if byte < 128:
            return value, at
    raise ValueError("no protobuf message: it ends early")
