"""The master's random numbers: the same seed gives the same trials as on a cluster.

Source: ``master/pkg/nprand/nprand.go``, a copy of numpy's ``RandomState``. Both are the Mersenne Twister of Python's
own generator, but seed it with one number and derive values differently.
"""

from __future__ import annotations

import random
import struct
import uuid

__all__ = ["RandomState"]

_WORDS = 624


class RandomState:
    """A generator that can continue after a restart.

    Args:
        seed: From 0 to 2**32 - 1.
        drawn: Number of words drawn before, see :attr:`drawn`.
    """

    def __init__(self, seed: int, drawn: int = 0) -> None:
        key = []
        for place in range(_WORDS):
            key.append(seed)
            seed = (1812433253 * (seed ^ (seed >> 30)) + place + 1) & 0xFFFFFFFF
        self._source = random.Random()
        self._source.setstate((3, (*key, _WORDS), None))
        #: Number of 32-bit words drawn so far: with the seed, the whole state.
        self.drawn = 0
        for _ in range(drawn):
            self._word()

    def _word(self) -> int:
        self.drawn += 1
        return self._source.getrandbits(32)

    def below(self, limit: int) -> int:
        """Return an integer from 0 to ``limit - 1``."""
        highest = limit - 1
        if highest <= 0:
            return 0
        mask = (1 << highest.bit_length()) - 1
        while True:
            word = self._word() if mask <= 0xFFFFFFFF else self._word() << 32 | self._word()
            if word & mask <= highest:
                return word & mask

    def uniform(self, low: float, high: float) -> float:
        """Return a number from ``low``, included, to ``high``."""
        first, second = self._word() >> 5, self._word() >> 6
        return low + (high - low) * ((first * (1 << 26) + second) / (1 << 53))

    def request_id(self) -> str:
        """Return a trial's id within the search."""
        return str(uuid.UUID(bytes=struct.pack("<4I", *(self._word() for _ in range(4))), version=4))
