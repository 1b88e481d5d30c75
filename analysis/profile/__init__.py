"""How a checkpoint's weights are distributed, streamed from its files and exact.

`leaf` reads the weights of one leaf and gives its exact statistics and its counts by the float's
high bits; `scopes` adds leaves up; `grids` turns counts into histograms and CDFs; `checkpoint`
does all of it for a checkpoint's files. `kernels` are the loops over weights, taken in `blocks`,
`bits` the order of floats by their bits.
"""
