"""What numba compiles is kept where it can be, and runs where it cannot."""

from numba import cfunc, config, njit
from numba.core import caching

from analysis.engine import project
from analysis.engine.compiled import kept


def add(a, b):
    return a + b


def test_without_a_folder_of_numbas_own_choice_the_cache_or_none_is_taken(tmp_path, monkeypatch):
    """As in a container that runs as another user: neither code nor HOME can be written to."""
    for own in (caching.InTreeCacheLocator, caching.UserWideCacheLocator):
        monkeypatch.setattr(own, "from_function", classmethod(lambda *given: None))
    monkeypatch.setattr(config, "CACHE_DIR", "")
    monkeypatch.setattr(project, "CACHE", tmp_path / "cache")
    assert kept(njit, nogil=True)(add)(1, 2) == 3
    assert list(tmp_path.iterdir()) == []
    project.CACHE.mkdir()
    assert kept(njit, nogil=True)(add)(1, 2) == 3
    (index,) = tmp_path.glob("cache/numba/*/*.nbi")
    whole = index.read_bytes()
    for spoil in (
        lambda: index.write_bytes(whole[:-9]),
        lambda: index.write_bytes(b"no pickle"),
        lambda: (index.unlink(), index.mkdir()),
    ):
        spoil()
        assert kept(njit, nogil=True)(add)(1, 2) == 3
        assert kept(cfunc, "int64(int64, int64)")(add).ctypes(1, 2) == 3
