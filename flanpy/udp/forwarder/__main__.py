"""`python -m flanpy.udp.forwarder CONTROL CONTROL`: two inherited sockets, and no other input.

Everything is loaded first; then it waits for the queue and the UDP socket, which come over these.
"""

import signal
import sys

from flanpy.udp.forwarder.worker import run

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # for the daemon, which hangs up when it ends
    run(*(int(word) for word in sys.argv[1:]))
