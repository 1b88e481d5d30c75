"""What kernels are called in results; importing this imports nothing that computes."""

DENSE = "torch dense"
TORCH_CSR = "torch csr"
TILED_CSR = "tiled csr"
SEMI_STRUCTURED = "2:4"
AUTO = "auto"  # for each layer and input the one that was measured to be fastest
INT8 = "torch int8"
EXPERTS = "experts"
