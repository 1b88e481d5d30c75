"""Training: models from nothing, for a task, and after pruning.

`course` says on what and how, from the step down to `loop`, the one loop for all, over `batches`;
`dropout` and `memory` are its help. From nothing: `builtin` (with
`architectures` and `objectives`), and `scratch` (with `vocabulary` and the objectives of
`pretraining`). For a task: `tuning`. After pruning: `recovery` and `distillation`; `growing` prunes
while a model trains. Steps use it, and `alternatives` for a student.
"""
