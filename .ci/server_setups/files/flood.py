"""Load: PORT PATH CLIENTS SECONDS PAUSE. Each client repeats its request PAUSE after the response,
on a new connection each time.
"""

import socket
import sys
import threading
import time

PORT, PATH, CLIENTS = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
SECONDS, PAUSE = float(sys.argv[4]), float(sys.argv[5])
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{PORT}\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n".encode()
END = time.monotonic() + SECONDS


def client():
    while time.monotonic() < END:
        try:
            with socket.create_connection(("127.0.0.1", PORT), timeout=10) as connection:
                connection.sendall(REQUEST)
                while connection.recv(65536):
                    pass
        except OSError:
            time.sleep(0.05)
        time.sleep(PAUSE)


threads = [threading.Thread(target=client, daemon=True) for _ in range(CLIENTS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
