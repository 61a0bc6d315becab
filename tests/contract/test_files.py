"""Files that claim too much, hold something else or are packed in odd ways."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.system.files import FileError

KIND, WIDTH = "TwoLayerNetwork", 3


def header(shape: tuple[int, ...], dtype: str = "<f8", version: tuple[int, int] = (1, 0)) -> bytes:
    """The beginning of an array file that claims this shape."""
    told = io.BytesIO()
    said = {"descr": dtype, "fortran_order": False, "shape": shape}
    write = np.lib.format.write_array_header_1_0 if version == (1, 0) else None
    (write or np.lib.format.write_array_header_2_0)(told, said)
    return told.getvalue()


def array(value: object) -> bytes:
    told = io.BytesIO()
    np.lib.format.write_array(told, np.asarray(value), allow_pickle=True)
    return told.getvalue()


def whole() -> dict[str, bytes]:
    return {
        "U": array(np.ones((2, WIDTH))),
        "alpha": array(np.ones((WIDTH, 1))),
        "bias": array(np.zeros(WIDTH)),
        "meta": array(json.dumps({"kind": KIND})),
    }


def write(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return path


def test_what_is_whole_is_read(tmp_path: Path) -> None:
    network = cx.TwoLayerNetwork.load(write(tmp_path / "f.npz", whole()))
    assert network.U.shape == (2, WIDTH)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"U": header((10**12,))}, "member 'U' claims an array of shape"),
        ({"U": header((10**6, 10**6), version=(2, 0))}, "member 'U' claims an array of shape"),
        ({"U": header((2, -3)) + bytes(48)}, "member 'U' claims an array of shape"),
        ({"U": header((2, 3)) + bytes(8 * 6 + 1)}, "member 'U' claims an array of shape"),
        ({"U": header((2, 3), "|V8") + bytes(48)}, "member 'U' holds"),
        ({"U": array(np.array([None, 1], dtype=object))}, "member 'U' holds object"),
        ({"U": array(np.ones(2) * 1j)}, "member 'U' holds complex128"),
        ({"U": b"\x93NUMPY\x09\x00"}, "a version that is not read"),
        ({"U": b"not an array"}, "is not a TwoLayerNetwork file, or is damaged"),
        ({"U": header((2, 3)).replace(b"{", b"(", 1) + bytes(48)}, "is damaged"),
        ({"unused": array(np.ones(3))}, "nothing in it speaks of its member 'unused'"),
        ({"meta": array("{")}, "is not a TwoLayerNetwork file, or is damaged"),
        ({"meta": array("[]")}, "holds a None"),
        ({"meta": array(json.dumps({"kind": "Solution"}))}, "holds a Solution"),
        ({"meta": array(json.dumps({"kind": KIND, "depth": 3}))}, "damaged TwoLayerNetwork file"),
        ({"meta": array(np.ones(3))}, "member 'meta' holds float64"),
    ],
)
def test_what_claims_too_much_or_is_no_array_is_named(
    tmp_path: Path, changed: dict[str, bytes], words: str
) -> None:
    path = write(tmp_path / "f.npz", whole() | changed)
    with pytest.raises(FileError, match=words):
        cx.TwoLayerNetwork.load(path)


@pytest.mark.parametrize("packing", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_packing_is_named(tmp_path: Path, packing: int) -> None:
    path = write(tmp_path / "f.npz", whole(), packing)
    with pytest.raises(FileError, match="packed in a way that is not read"):
        cx.TwoLayerNetwork.load(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_a_name_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "f.npz", whole())
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("U.npy", array(np.zeros((2, WIDTH))))
    with pytest.raises(FileError, match="two members 'U'"):
        cx.TwoLayerNetwork.load(path)


def test_what_would_not_fit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "f.npz", whole() | {"U": array(np.zeros((2, 10**6)))})
    assert path.stat().st_size < 10**5
    before = cx.memory_limit()
    cx.memory_limit(0.01)
    try:
        with pytest.raises(FileError, match=r"claim 0\.0149 GiB, and no more than 0\.0025"):
            cx.TwoLayerNetwork.load(path)
    finally:
        cx.memory_limit(before)


@pytest.mark.parametrize("read", [cx.load, cx.TwoLayerNetwork.load])
@pytest.mark.parametrize("data", [b"", b"PK", b"not a zip file" * 100])
def test_no_archive_is_named(tmp_path: Path, read: Callable[[Path], object], data: bytes) -> None:
    path = tmp_path / "f.npz"
    path.write_bytes(data)
    with pytest.raises(FileError, match="file, or is damaged"):
        read(path)


def test_what_an_archive_lacks_and_what_reads_it_is_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", X=np.zeros(2))
    with pytest.raises(cx.FileError, match="does not say what it holds, as what convexnn saves"):
        cx.load(tmp_path / "data.npz")
    model = cx.LinearModel(np.ones(1), 0.0, None, None)
    model.save(tmp_path / "model.npz")
    with pytest.raises(cx.FileError, match=r"holds a LinearModel, not a Solution: convexnn\.Lin"):
        cx.load(tmp_path / "model.npz")
