"""`python -m flanpy.udp.forwarder QUEUE SOCKET CONTROL CONTROL`: four inherited descriptors, and no other input."""

import signal
import sys

from flanpy.udp.forwarder.worker import run

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the daemon, which hangs up when it ends
    run(*(int(word) for word in sys.argv[1:]))
