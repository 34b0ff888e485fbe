"""Every method asks, is told and recommends what it did when the fingerprints were recorded."""

import json
from typing import Any

import pytest

from tests.fingerprints.record import RECORDED, record

KNOWN = json.loads(RECORDED.read_text())
HASHES = ("asked", "told", "recommended", "ledger")


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("fingerprints") / "taken.json"
    record(out, [])
    return json.loads(out.read_text())


def test_every_case_is_recorded(taken: dict[str, Any]) -> None:
    assert taken["cases"].keys() == KNOWN["cases"].keys()


@pytest.mark.parametrize("case", KNOWN["cases"])
def test_the_fingerprint_is_the_recorded_one(case: str, taken: dict[str, Any]) -> None:
    known, found = KNOWN["cases"][case], taken["cases"][case]
    if taken["platform"] == KNOWN["platform"]:
        assert {name: found[name] for name in HASHES} == {name: known[name] for name in HASHES}
        return
    # Elsewhere rounding differs, and grows from iteration to iteration: the first ones are alike.
    for batch_found, batch_known in zip(found["early"], known["early"], strict=True):
        assert batch_found == pytest.approx(batch_known, rel=1e-3, abs=1e-6)
    assert found["renders"] <= known["renders"] * 1.5 + 50


def test_calls_return_what_they_did(taken: dict[str, Any]) -> None:
    if taken["platform"] != KNOWN["platform"]:
        pytest.skip("recorded on another platform")
    assert taken["calls"] == KNOWN["calls"]
