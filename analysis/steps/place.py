"""Where a step computes, as it is told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """So many threads, the device ("cpu" or "cuda"), and the type (one of `loading.DTYPES`)."""

    threads: int
    device: str
    dtype: str = "float32"
