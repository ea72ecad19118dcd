"""A WSGI application: `/` answers at once, `/busy` takes 0.1 s of the worker."""

import time


def app(environ, start_response):
    if environ["PATH_INFO"] == "/busy":
        time.sleep(0.1)
    start_response("200 OK", [("Content-Length", "2"), ("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"ok"]


application = app
