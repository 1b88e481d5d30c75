"""The names of the formats; reading a study imports these and none of what writes files."""

ZSTD = "+zstd"
LAYOUTS = ("dense", "bitmask", "csr16", "csr32")
FORMATS = tuple(name + more for name in (*LAYOUTS, "auto") for more in ("", ZSTD))
