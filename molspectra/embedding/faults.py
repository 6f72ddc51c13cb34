"""Errors that a broken molecule raises, as opposed to those of a device or a program."""

import torch

# Texts of errors for which not every version of PyTorch has a class of its own.
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory")
_DEVICE_FAILURES = ("CUDA error", "HIP error", "device-side assert", "CUBLAS_STATUS", "CUDNN_STATUS")


def is_out_of_memory(error: Exception) -> bool:
    """Return True if a batch did not fit into memory, be it of an accelerator or of the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def is_device_failure(error: Exception) -> bool:
    """Return True if a device has failed, after which every further operation on it fails too."""
    accelerator_error = getattr(torch, "AcceleratorError", None)  # from PyTorch 2.8
    if accelerator_error is not None and isinstance(error, accelerator_error):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _DEVICE_FAILURES)


def is_of_molecule(error: Exception) -> bool:
    """Return True if an encoder may raise the error because of one molecule, so that the others are worth a retry.

    Checks raise ValueError, and lookups of an unknown element IndexError or RuntimeError. A TypeError or a missing
    implementation is a fault of the program.
    """
    if isinstance(error, NotImplementedError | RecursionError):  # both are RuntimeErrors
        return False
    if is_out_of_memory(error) or is_device_failure(error):
        return False
    return isinstance(error, ValueError | IndexError | RuntimeError)
