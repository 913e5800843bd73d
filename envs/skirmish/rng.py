"""Counter-based random numbers in the kernel: each number is a function of (seed, battle number, count)."""

import numpy as np

from mawm.envs.skirmish.compiled import scalar
from mawm.envs.skirmish.layout import DRAWS, KEY

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_ORDERS = np.uint64(1 << 62)  # keeps the numbers of `shuffle` apart from those of `coin`


@scalar
def mix(z):  # type: ignore[no-untyped-def]
    """SplitMix64's finaliser: every bit of the output depends on every bit of the input."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_A
    z = (z ^ (z >> np.uint64(27))) * _MIX_B
    return z ^ (z >> np.uint64(31))


@scalar
def battle_key(seed, battle):  # type: ignore[no-untyped-def]
    """The key of one battle."""
    return mix(mix(seed + _GOLDEN) ^ (battle + np.uint64(1)) * _GOLDEN)


@scalar
def coin(book, number):  # type: ignore[no-untyped-def]
    """Random bit number `number` (uint64) of a battle, independent of the numbers of `uniform`."""
    return mix(book[KEY] ^ mix(number)) >> np.uint64(63) == np.uint64(0)


@scalar
def uniform(book):  # type: ignore[no-untyped-def]
    """The next number in [0, 1) of a battle (its row of `books`)."""
    book[DRAWS] += np.uint64(1)
    return (mix(book[KEY] + book[DRAWS] * _GOLDEN) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@scalar
def shuffle(book, number, out):  # type: ignore[no-untyped-def]
    """Write random order number `number` (uint64) of 0 .. N - 1 into `out` (N,), independent of the other numbers."""
    z = mix(book[KEY] ^ mix(number + _ORDERS))
    for k in range(len(out)):
        out[k] = k
    for k in range(len(out) - 1, 0, -1):
        z = mix(z + _GOLDEN)
        other = np.int64(z % np.uint64(k + 1))
        out[k], out[other] = out[other], out[k]
