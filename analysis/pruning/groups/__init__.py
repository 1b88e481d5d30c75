"""Groups of weights within which scores compete, one file each.

Every group has `choose`, for methods that look at weights alone: masks for each level, of all
tensors of a scope. Those within a matrix (`within`) have for each matrix `keep` and `quotas` too.
"""
