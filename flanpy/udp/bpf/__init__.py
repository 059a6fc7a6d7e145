"""The in-kernel UDP data plane: two small eBPF programs, assembled and loaded from here, without a compiler."""
