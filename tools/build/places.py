"""Where things are."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
VENV = os.path.join(ROOT, ".venv")
VENV_PYTHON = os.path.join(VENV, "bin", "python")
RELEASE = os.path.join(BUILD, "release")
LIBRARY = os.path.join(RELEASE, "libeplb.so.0")
EMULATED = os.path.join(RELEASE, "libeplb_emulated.so")  # its CUDA backend over an emulation of CUDA
CUDA = os.path.join(BUILD, "cuda")
CUDA_QUICK = os.path.join(BUILD, "cuda-quick")  # objects that nobody runs
SANITIZE = os.path.join(BUILD, "sanitize")
THREADS = os.path.join(BUILD, "threads")
AARCH64 = os.path.join(BUILD, "aarch64")
