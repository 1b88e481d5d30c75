"""Allocation: how much goes of each group of weights, one file each.

An allocation is a function of a level and, for each matrix, the sizes of its groups; it gives, for
each matrix, what `keep` of the method's group takes.
"""
