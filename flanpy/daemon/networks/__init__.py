"""Named networks in the daemon: from etcd to the loop, and to the file that flanpy-docker reads."""
