"""A minimal inetd: PORT PROGRAM ARGUMENTS..., one process for each connection."""

import socket
import subprocess
import sys
import threading

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))


def serve(connection):
    with connection:
        subprocess.run(
            sys.argv[2:],
            stdin=connection, stdout=connection, stderr=subprocess.DEVNULL, check=False,
        )


while True:
    connection, _ = listener.accept()
    threading.Thread(target=serve, args=(connection,), daemon=True).start()
    connection = None
