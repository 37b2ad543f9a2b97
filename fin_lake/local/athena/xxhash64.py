"""The hash XXH64 with seed 0, as Athena's ``xxhash64`` has it.

Specification: https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
"""

from __future__ import annotations

import struct
from typing import Final

_MASK: Final = (1 << 64) - 1
_PRIMES: Final = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_STRIPE: Final = 32


def xxhash64(data: bytes) -> int:
    """Return the hash of some bytes, from 0 to 2⁶⁴ − 1."""
    one, two, _, four, five = _PRIMES
    whole = len(data) // _STRIPE * _STRIPE
    if whole:
        lanes = [(one + two) & _MASK, two, 0, -one & _MASK]
        for words in struct.iter_unpack("<4Q", data[:whole]):
            lanes = [_round(lane, word) for lane, word in zip(lanes, words, strict=True)]
        found = sum(_rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)) & _MASK
        for lane in lanes:
            found = ((found ^ _round(0, lane)) * one + four) & _MASK
    else:
        found = five
    return _mixed(_with_rest((found + len(data)) & _MASK, data[whole:]))


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (64 - by))) & _MASK


def _round(lane: int, word: int) -> int:
    one, two = _PRIMES[:2]
    return _rotated((lane + word * two) & _MASK, 31) * one & _MASK


def _with_rest(found: int, rest: bytes) -> int:
    one, two, three, four, five = _PRIMES
    at = 0
    while len(rest) - at >= 8:  # noqa: PLR2004 - a word
        found = (
            _rotated(found ^ _round(0, int.from_bytes(rest[at : at + 8], "little")), 27) * one + four
        ) & _MASK
        at += 8
    if len(rest) - at >= 4:  # noqa: PLR2004 - half a word
        found ^= int.from_bytes(rest[at : at + 4], "little") * one & _MASK
        found = (_rotated(found, 23) * two + three) & _MASK
        at += 4
    for byte in rest[at:]:
        found = _rotated(found ^ (byte * five & _MASK), 11) * one & _MASK
    return found


def _mixed(found: int) -> int:
    found = (found ^ (found >> 33)) * _PRIMES[1] & _MASK
    found = (found ^ (found >> 29)) * _PRIMES[2] & _MASK
    return found ^ (found >> 32)
