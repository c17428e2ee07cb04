"""Every code that the doctor's source can give is provoked by a test that breaks a running stack for it."""

from __future__ import annotations

from tests.lab import test_doctor_images
from tests.lab.doctor import test_access, test_cluster, test_kserve_mode, test_platforms, test_room, test_surroundings
from tests.support.doctor_codes import COMPOSED, every_code, provoked_in

MODULES = (
    test_access,
    test_cluster,
    test_kserve_mode,
    test_platforms,
    test_room,
    test_surroundings,
    test_doctor_images,
)


def test_the_list_of_codes_is_that_of_the_source() -> None:
    codes = every_code()
    assert {"clock.kubernetes:broken", "determined.slots:warning", "images.train:broken", "*.all:unknown"} <= codes
    assert len(codes) > 60
    assert all(any(code.startswith(f"{id}:") for code in codes) for ids in COMPOSED.values() for id in ids)


def test_every_code_is_provoked() -> None:
    provoked = {code for module in MODULES for _, code, _ in provoked_in(module)}
    assert provoked == every_code(), f"no test breaks the stack for {sorted(every_code() - provoked)}"


def test_what_is_broken_is_the_stack_and_not_the_doctor() -> None:
    for module in MODULES:
        for name, _, source in provoked_in(module):
            assert "setattr" not in source, f"{name} replaces parts of the doctor"
