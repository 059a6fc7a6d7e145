"""What faults are brought about with: disks, limits, clocks, system calls, slow cables."""
