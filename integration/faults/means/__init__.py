"""The means of faults: disks, limits, clocks, system calls, slow cables."""
