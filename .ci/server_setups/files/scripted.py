"""A server with a fault that real servers have shown: PORT WHAT [SECONDS].

freeze    reads its clock every SECONDS only, like a worker that does not leave its accept loop
stall     its clock stops, SECONDS behind, and it stops answering after eight responses, until 8 s
          have passed: a worker that other clients keep busy
delay     waits a random time of up to SECONDS before it stamps, like a queue in front of a worker
early     waits as long after it stamped, like a slow application after the stamp
drop-head closes at a HEAD without a response
head-501  answers a HEAD with 501 and no Date, like OpenWrt's uhttpd for unknown methods
jump      its clock is set back by SECONDS every 7 s, like two machines behind one address
"""

import random
import socket
import sys
import threading
import time
from email.utils import formatdate

PORT, WHAT, SECONDS = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
BEGAN = time.time()
rng = random.Random(7)
# stall: when the present 8 s began, and how many responses were sent since.
window = [0.0, 0]


def now():
    clock = time.time()
    if WHAT == "freeze":
        return BEGAN + (clock - BEGAN) // SECONDS * SECONDS
    if WHAT == "stall":
        return window[0] - SECONDS
    if WHAT == "jump":
        return clock - SECONDS * (int(clock - BEGAN) // 7 % 2)
    return clock


def serve(connection):
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                piece = connection.recv(4096)
                if not piece:
                    return
                data += piece
            head, data = data.split(b"\r\n\r\n", 1)
            if WHAT == "drop-head" and head.startswith(b"HEAD"):
                return
            if WHAT == "head-501" and head.startswith(b"HEAD"):
                connection.sendall(b"HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n")
                continue
            if WHAT == "stall":
                if time.time() > window[0] + 8.0:
                    window[:] = [time.time(), 0]
                window[1] += 1
                if window[1] > 8:
                    time.sleep(8.0)
                    return
            if WHAT == "delay":
                time.sleep(rng.uniform(0.0, SECONDS))
            date = formatdate(int(now()), usegmt=True)
            if WHAT == "early":
                time.sleep(rng.uniform(0.0, SECONDS))
            connection.sendall(f"HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())


def guarded(connection):
    try:
        serve(connection)
    except OSError:
        pass


listener = socket.create_server(("127.0.0.1", PORT), backlog=64)
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=guarded, args=(accepted,), daemon=True).start()
