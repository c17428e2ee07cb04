"""Packages that some versions of Python don't have (docs/install.md)."""

from __future__ import annotations

import importlib.util

import pytest

NO_KSERVE = "there is no kserve 0.13.1 for this version of Python"
needs_kserve = pytest.mark.skipif(importlib.util.find_spec("kserve") is None, reason=NO_KSERVE)
