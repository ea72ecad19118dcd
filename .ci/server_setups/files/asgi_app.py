"""An ASGI application: `/` answers at once, `/busy` keeps the event loop busy for 0.15 s."""

import time


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/busy":
        # Blocks on purpose: no other task of the loop runs meanwhile.
        time.sleep(0.15)
    headers = [(b"content-length", b"2"), (b"content-type", b"text/plain")]
    if scope["path"] == "/fresh":
        headers.append((b"cache-control", b"max-age=1"))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else b"ok"})
