"""GPUs that this machine has not: what the driver would say of them, and the driver itself."""

from analysis.engine import gpus
from analysis.engine.gpus import Gpu

HOPPER = Gpu("NVIDIA H200", "0000:01:00.0", (9, 0), 140 * 10**9)
TURING = Gpu("NVIDIA T4", "0000:02:00.0", (7, 5), 16 * 10**9)
MACHINES = {"none": (), "hopper": (HOPPER,), "turing": (TURING,), "both": (HOPPER, TURING)}


def put_in(monkeypatch, name):
    """Let this machine have the GPUs of `MACHINES` that are called so."""
    monkeypatch.setattr(gpus, "usable", lambda: MACHINES[name])


class Driver:
    """In libcuda's place: what it finds out goes where the first argument points."""

    def __init__(self, found, version=12_080, refuses=0):
        self._found, self._version, self._refuses = found, version, refuses

    def cuInit(self, _):  # noqa: N802
        return self._refuses

    def __getattr__(self, name):
        def told(into, *about):
            device = self._found[about[-1]] if about else None
            texts = {"cuDeviceGetName": "name", "cuDeviceGetPCIBusId": "address"}
            if name in texts:
                into.value = getattr(device, texts[name]).encode()
                return 0
            into._obj.value = {
                "cuDriverGetVersion": lambda: self._version,
                "cuDeviceGetCount": lambda: len(self._found),
                "cuDeviceGet": lambda: about[0],
                "cuDeviceGetAttribute": lambda: device.capability[about[0] - 75],
                "cuDeviceTotalMem_v2": lambda: device.memory_bytes,
            }[name]()
            return 0

        return told
