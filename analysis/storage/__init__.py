"""Weight files that say where the zeros are instead of storing them; see `docs/storage.md`.

`writing` makes such a file and `reading` opens it, tensor by tensor; `conversion` turns a
safetensors file into one and back, byte for byte. `layouts` says what a tensor becomes (`bitmask`
and `csr` are the codes, `kernels` their loops), `container` what the file's header is, `dtypes`
how the numbers are seen as bits, `pieces` and `zstd` how parts are worked on. `counting` says how
long files would be, `bound` what no format can beat. A study imports `formats` alone: their names.
"""
