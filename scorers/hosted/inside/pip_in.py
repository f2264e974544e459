"""Runs pip inside the sandbox, with its temporary files in a folder that holds more than /tmp does: `pip_in WRITABLE ARGUMENT…`."""

import runpy
import sys
import tempfile

tempfile.tempdir = sys.argv[1]
sys.argv = ["pip", *sys.argv[2:]]
runpy.run_module("pip", run_name="__main__", alter_sys=True)
