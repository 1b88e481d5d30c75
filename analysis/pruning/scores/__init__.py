"""Scores of weights, one file each: within a group, those of the lowest score go.

A score of weights alone is a function of a `Scope` that gives a `Ranking`. The scope's tensors are
as they are stored, some [in, out]: what looks along an axis asks `Scope.outputs_first`, both ways.
A score that needs what goes into a matrix is a function of the matrix [out, in] and its `Inputs`,
and gives float32 of the matrix's shape, not negative.
"""
