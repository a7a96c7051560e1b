"""The lines of a text file, as ranges of its bytes: a million rows are one object, not a million."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

_CHUNK = 1 << 20  # bytes searched at a time: they stay in the cache
_BLANKS = np.frombuffer(b" \t\v\f", dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class Lines:
    """Lines with their ends, whether these are LF, CRLF or CR.

    Attributes
    ----------
    content : bytes of the file.
    bounds : (n + 1,) int64; line i is content[bounds[i]:bounds[i + 1]]. Bytes before the first line belong to none.
    """

    content: bytes
    bounds: Numbers

    @classmethod
    def split(cls, content: bytes, start: int = 0) -> "Lines":
        """Find the lines of `content` from the byte `start` on."""
        text = np.frombuffer(content, dtype=np.uint8)
        if b"\r" in content and content.count(b"\r") != content.count(b"\r\n"):
            alone = text == ord("\r")
            alone[:-1] &= text[1:] != ord("\n")
            text = np.where(alone, np.uint8(ord("\n")), text)
        parts = range(start, len(text), _CHUNK)
        ends = [np.flatnonzero(text[part : part + _CHUNK] == ord("\n")) + (part + 1) for part in parts]
        bounds = np.concatenate([np.array([start]), *ends]).astype(np.int64)
        return cls(content, bounds if bounds[-1] == len(text) else np.append(bounds, len(text)))

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, number: int) -> bytes:
        return self.content[self.bounds[number] : self.bounds[number + 1]]

    def __iter__(self) -> Iterator[bytes]:
        return map(self.__getitem__, range(len(self)))

    def first_characters(self) -> npt.NDArray[np.uint8]:
        """First byte (n,) of each line that is no blank; an empty line's is its end, or 0 at the end of the file."""
        text = np.frombuffer(self.content, dtype=np.uint8)
        at = self.bounds[:-1].copy()
        pending = np.arange(len(at))
        while len(pending):
            pending = pending[np.isin(text[at[pending]], _BLANKS)]
            at[pending] += 1
            pending = pending[at[pending] < len(text)]
        return np.where(at < len(text), text[np.minimum(at, len(text) - 1)], 0)

    def pieces(self, numbers: Numbers, most: int) -> Iterator["Lines"]:
        """Some lines, by ascending number, in parts of up to `most`."""
        for start in range(0, len(numbers), most):
            part = numbers[start : start + most]
            begins, ends = self.bounds[part], self.bounds[part + 1]
            if (begins[1:] == ends[:-1]).all():
                bounds = np.append(begins, ends[-1]) - begins[0]
                yield Lines(self.content[begins[0] : ends[-1]], bounds)
            else:
                bounds = np.concatenate([[0], np.cumsum(ends - begins)])
                yield Lines(b"".join(map(self.__getitem__, part)), bounds)

    def write(self, path: Path, kept: npt.NDArray[np.bool_]) -> None:
        """Write the lines that `kept` (n,) marks, and what comes before the first, byte for byte."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
        with path.open("wb") as file, memoryview(self.content) as content:
            file.write(content[: self.bounds[0]])
            for begin, end in self.bounds[edges.reshape(-1, 2)].tolist():
                file.write(content[begin:end])
