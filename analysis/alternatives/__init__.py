"""Alternatives to pruning: other ways to make a trained model smaller or faster.

`student` is half as deep and distilled; `kinds` are models with modules of their own. Of a mixture
of experts, `learning` finds `experts` and `routers` from `activations` of `feedforward` layers.
Only steps use it.
"""
