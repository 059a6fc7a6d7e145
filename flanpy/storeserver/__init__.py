"""The embedded store: the part of etcd's v3 API that flanpy, flannel and etcdctl use, on one SQLite file.

Owns a process of its own, `flanpy-store`. In comes gRPC, out go keys, leases and watches; what was acknowledged is on
the disk. Must not import anything of the daemon: only errors, log, clock, files, systemd and etcd's messages.

    main, server      settings, one instance, listeners, the tasks around
    rpc/              one file a service: etcd's messages to calls, refusals to gRPC codes
    store             the parts as one: reads, writes, leases, watches
    writer            the one thread that writes: many requests, one commit
    writing, compare, selection, checks    what one request does, pure but for the database
    watchers, leases  who hears of a change; when a lease ends
    database          the file: tables, seals, checks
    backup            copies of the file, and what comes back from one

There is no consensus here: one copy. Who wants three runs etcd.
"""
