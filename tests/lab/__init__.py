"""Tests on whole hosts: real flanpyd processes in the namespace lab, real etcd, real kernels, real traffic."""
