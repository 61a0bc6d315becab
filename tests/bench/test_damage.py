"""Damaged files are refused by one named error, or read as what they hold."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import convexnn as cx
from convexnn.bench.damage import DAMAGES, GOOD, Reader, campaign
from convexnn.bench.instances import FAMILIES
from convexnn.contract.system.files import FileError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a saved solution."""
    X = np.random.default_rng(0).standard_normal((12, 2))
    path = tmp_path_factory.mktemp("saved") / "s.npz"
    cx.solve(cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=5), "admm", tol=1e-3).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_files_are_refused_or_read(
    damage: str, whole: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "s.npz"
    said = Counter[str]()
    for seed in range(20):
        path.write_bytes(DAMAGES[damage](whole, np.random.default_rng(seed)))
        try:
            solution = cx.load(path)
        except FileError:
            said["refused"] += 1
        else:
            assert solution.problem.certify(solution.primal, solution.dual) == solution.certificate
            said["read"] += 1
    assert said["refused"] > 0


def test_a_reader_that_ends_or_hangs_is_replaced(
    whole: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("read") / "s.npz"
    path.write_bytes(whole)
    with Reader([whole]) as reader:
        assert reader.read(path) == ("read", "")
        reader.process.kill()
        reader.process.join()
        assert reader.read(path)[0] == "raw"
        assert reader.read(path) == ("read", "")


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_thousand_damaged_files() -> None:
    found = campaign(1000, 0)
    assert [one for one in found if one.verdict not in GOOD] == []
    assert {one.family for one in found} == {*FAMILIES, "network"}
