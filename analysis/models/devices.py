"""Where models compute."""

import torch


def resolve_device(device: str) -> str:
    """The device to use: "auto" is a GPU where there is one."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return device
