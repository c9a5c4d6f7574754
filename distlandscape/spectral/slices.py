"""The arithmetic of one slice: some consecutive segments of every vector.

The driver's space is one slice with all segments; a sharded space is several. Each segment is stored and computed by
itself, so a slice's partial results do not depend on what else lies beside it. Shapes: S segments of the slice, M basis
vectors, K vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from distlandscape.files import write_whole
from distlandscape.spectral.probes import probe_entries
from distlandscape.spectral.segments import Segments
from distlandscape.spectral.space import Array, ProbeKind

WRITER = ThreadPoolExecutor(1, "basis-writer")
CHUNK = 8192  # columns converted to float64 at a time: a chunk of the basis stays in cache


class Slice:
    """Consecutive segments of P-vectors on one device, kept in ``dtype``, computed in float64."""

    def __init__(self, cut: Segments, segments: range, dtype: torch.dtype, device: torch.device) -> None:
        self.cut, self.segments, self.dtype, self.device = cut, segments, dtype, device
        self.start = cut.bounds(segments.start)[0]
        self.stop = cut.bounds(segments.stop - 1)[1] if len(segments) else self.start

    def bounds(self) -> list[tuple[int, int]]:
        """Segment bounds relative to the slice's first entry."""
        return [(a - self.start, b - self.start) for a, b in map(self.cut.bounds, self.segments)]

    def random(self, seed: int, probe: int, kind: ProbeKind) -> Tensor:
        """This slice's entries of a probe."""
        entries = probe_entries(seed, probe, kind, self.start, self.stop)
        return torch.from_numpy(entries).to(device=self.device, dtype=self.dtype)

    def dots(self, xs: Sequence[Tensor], ys: Sequence[Tensor]) -> Tensor:
        """(S, K, L) partial inner products, one a segment."""
        partials = torch.zeros(len(self.segments), len(xs), len(ys), dtype=torch.float64, device=self.device)
        for s, (a, b) in enumerate(self.bounds()):
            left = torch.stack([x[a:b].double() for x in xs])
            right = torch.stack([y[a:b].double() for y in ys])
            torch.matmul(left, right.T, out=partials[s])
        return partials

    def combine(self, xs: Sequence[Tensor], coefficients_LK: Array) -> list[Tensor]:
        """(L, K) coefficients times K vectors."""
        coefficients = torch.tensor(coefficients_LK, device=self.device)
        out = [torch.empty(self.stop - self.start, dtype=self.dtype, device=self.device) for _ in coefficients]
        for a, b in self.bounds():
            segment = coefficients @ torch.stack([x[a:b].double() for x in xs])
            for row, target in zip(segment, out, strict=True):
                target[a:b] = row
        return out

    def basis(self, capacity: int) -> SliceBasis:
        """An empty basis."""
        return SliceBasis(self, capacity)


class SliceBasis:
    """A slice of a basis: one (capacity, length) matrix a segment."""

    def __init__(self, owner: Slice, capacity: int) -> None:
        self.owner, self.capacity, self.size = owner, capacity, 0
        self._rows = [torch.empty(capacity, b - a, dtype=owner.dtype, device=owner.device) for a, b in owner.bounds()]
        self._scratch = torch.empty(0, dtype=torch.float64, device=owner.device)
        self._writing: Future[Any] | None = None

    def project(self, w: Tensor) -> Tensor:
        """(S, M) partial coefficients of ``w`` on the basis."""
        partials = torch.zeros(len(self._rows), self.size, dtype=torch.float64, device=self.owner.device)
        for s, (a, b) in enumerate(self.owner.bounds()):
            for c in range(a, b, CHUNK):
                d = min(c + CHUNK, b)
                partials[s] += self._chunk(s, c - a, d - a) @ w[c:d].double()
        return partials

    def subtract(self, w: Tensor, coefficients_M: Tensor) -> Tensor:
        """``w`` minus the basis times ``coefficients_M``, in float64, in place where ``w`` is float64 already."""
        w = w.double()
        for s, (a, b) in enumerate(self.owner.bounds()):
            for c in range(a, b, CHUNK):
                d = min(c + CHUNK, b)
                w[c:d] -= coefficients_M @ self._chunk(s, c - a, d - a)
        return w

    def append(self, w: Tensor, scale: float) -> None:
        """Add ``scale · w`` as the next vector."""
        if self.size == self.capacity:
            raise IndexError(f"the basis is full ({self.capacity} vectors)")
        for rows, (a, b) in zip(self._rows, self.owner.bounds(), strict=True):
            rows[self.size] = w[a:b].double() * scale
        self.size += 1

    def row(self, index: int) -> Tensor:
        """One vector of the slice."""
        if not self._rows:
            return torch.empty(0, dtype=self.owner.dtype, device=self.owner.device)
        return torch.cat([rows[index] for rows in self._rows])

    def combine(self, coefficients_KM: Array) -> list[Tensor]:
        """(K, M) coefficients to K vectors."""
        coefficients = torch.tensor(coefficients_KM, device=self.owner.device)
        length = self.owner.stop - self.owner.start
        out = torch.empty(len(coefficients), length, dtype=self.owner.dtype, device=self.owner.device)
        for s, (a, b) in enumerate(self.owner.bounds()):
            for c in range(a, b, CHUNK):
                d = min(c + CHUNK, b)
                out[:, c:d] = coefficients @ self._chunk(s, c - a, d - a)
        return list(out)

    def compress(self, coefficients_KM: Array) -> None:
        """Replace all vectors but the last by (K, M − 1) combinations of them; the last follows behind."""
        self._let_writing_end()
        coefficients = torch.tensor(coefficients_KM, device=self.owner.device)
        kept, old = coefficients.shape
        for rows in self._rows:
            for c in range(0, rows.shape[1], CHUNK):
                columns = rows[:, c : c + CHUNK]
                columns[:kept] = (coefficients @ columns[:old].double()).to(rows.dtype)
            rows[kept] = rows[old].clone()
        self.size = kept + 1

    def truncate(self, size: int) -> None:
        """Forget all but the first ``size`` vectors: their places are written over."""
        self._let_writing_end()
        self.size = size

    def save(self, folder: Path, start: int) -> Future[dict[str, str]]:
        """Begin to write vectors start…size, one tensor a segment named by its global number; {file name: sha256}.

        Another thread does it while the basis grows on: vectors that are there do not change, but by ``compress``
        and after ``truncate``, which wait.
        """
        segments, size = self.owner.segments, self.size
        name = f"vectors-{start:05d}-{size:05d}.segments-{segments.start:02d}-{segments.stop:02d}.safetensors"

        def write() -> dict[str, str]:
            if not len(segments):  # more workers than segments
                return {}
            tensors = {str(s): rows[start:size].contiguous() for s, rows in zip(segments, self._rows, strict=True)}
            return {name: write_whole(folder / name, lambda path: save_file(tensors, path))}

        self._writing = WRITER.submit(write)
        return self._writing

    def load(self, path: Path, start: int) -> int:
        """Put the vectors of a file at ``start``…, taking the segments that are ours; returns how many."""
        tensors = load_file(path)
        counts = {len(tensor) for tensor in tensors.values()}
        assert len(counts) == 1, "a basis file holds the same vectors for every segment"
        count = counts.pop()
        for segment, rows in zip(self.owner.segments, self._rows, strict=True):
            if str(segment) in tensors:
                rows[start : start + count] = tensors[str(segment)].to(rows.device)
        return count

    def _let_writing_end(self) -> None:
        if self._writing is not None:
            wait([self._writing])

    def _chunk(self, segment: int, start: int, stop: int) -> Tensor:
        """(M, stop − start) columns of a segment in float64; a view of re-used scratch unless float64 already."""
        block = self._rows[segment][: self.size, start:stop]
        if block.dtype == torch.float64:
            return block
        needed = self.size * (stop - start)
        if self._scratch.numel() < needed:
            self._scratch = torch.empty(self.capacity * CHUNK, dtype=torch.float64, device=self.owner.device)
        scratch = self._scratch[:needed].view(self.size, stop - start)
        return scratch.copy_(block)


def numbers(sums: Tensor) -> Array:
    """Sums over all segments, few and small, for the driver."""
    array: Array = sums.cpu().numpy()
    return array
