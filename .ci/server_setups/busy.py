"""Servers that answer late, or whose clock stops under load."""

from .harness import FILES, Skews, Target, setup


@setup(
    "nginx-timer-resolution", "timer_resolution 100ms", needs=["apt:nginx-light"], broken="4",
    unseeable="a constant lag: nginx reads its clock every 100 ms only; state it with --lag 0.11",
)
def timer_resolution(place):
    port = place.port()
    place.nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}", main="timer_resolution 100ms;")
    return port


@setup("nginx-timer-resolution-lag", "timer_resolution 100ms, asked with --lag 0.11", needs=["apt:nginx-light"], broken="4")
def timer_resolution_lag(place):
    return Target(timer_resolution(place), options=("--lag", "0.11"))


@setup(
    "nginx-frozen", "listen deferred, multi_accept on, under load: the worker does not leave its accept loop",
    needs=["apt:nginx-light"], broken="5", meter=False,
)
def frozen(place):
    port = place.port()
    # Matching this takes the worker tens of ms, so other connections wait to be accepted until it
    # is done. The responses are small: one that does not fit into the socket's buffer would wait
    # for the event loop, and its client would send no further request.
    place.nginx(
        f"""server {{
        listen 127.0.0.1:{port} deferred backlog=64; keepalive_timeout 0;
        location = / {{ return 204; }}
        location ~ ^/(x+x+)+y$ {{ return 204; }}
    }}""",
        events="worker_connections 256; multi_accept on;",
    )
    place.load(port, f"/{'x' * 21}yz", 8)
    return port


@setup("stalled", "a scripted server: eight answers from a clock that stands 6 s behind, then none", broken="5", meter=False, alone=True)
def stalled(place):
    return place.tool("scripted.py", "stall", 6, port=place.port())


@setup("frozen-20s", "a scripted server that reads its clock every 20 s", meter=False)
def frozen_scripted(place):
    return place.tool("scripted.py", "freeze", 20, port=place.port())


@setup("frozen-3s", "a scripted server that reads its clock every 3 s", meter=False)
def frozen_scripted_3(place):
    return place.tool("scripted.py", "freeze", 3, port=place.port())


@setup(
    "nginx-limit-req", "limit_req of 2 requests a second delays before stamping",
    needs=["apt:nginx-light"], broken="8", meter=False, alone=True,
)
def limit_req(place):
    port = place.port()
    place.nginx(
        f"""limit_req_zone $binary_remote_addr zone=one:1m rate=2r/s;
    server {{
        listen 127.0.0.1:{port};
        location / {{ limit_req zone=one burst=20; try_files /none @ok; }}
        location @ok {{ return 204; }}
    }}"""
    )
    return port


@setup("queue-before-stamp", "a scripted server that waits up to 0.3 s before it stamps", meter=False)
def delay(place):
    return place.tool("scripted.py", "delay", 0.3, port=place.port())


@setup("slow-after-stamp", "a scripted server that waits up to 0.3 s after it stamped", meter=False)
def early(place):
    return place.tool("scripted.py", "early", 0.3, port=place.port())


@setup("jumping", "a scripted server whose clock jumps between 0 and -2 s every 7 s", meter=False)
def jumping(place):
    return Target(place.tool("scripted.py", "jump", 2, port=place.port()), truth=Skews(0.0, -2.0))


@setup("nginx-loaded", "8 clients ask as fast as they can", needs=["apt:nginx-light"])
def nginx_loaded(place):
    port = place.origin()
    place.load(port, "/", 8)
    return port


@setup("uvicorn-busy", "the event loop is blocked for 0.15 s at a time", needs=["pip:uvicorn"])
def uvicorn_busy(place):
    port = place.uvicorn()
    place.load(port, "/busy", 1)
    return port


@setup("node-busy", "the event loop is busy for 15 of each 20 ms", needs=["program:node"])
def node_busy(place):
    port = place.port()
    place.start("node", FILES / "node_server.js", port, 15, port=port)
    return port


@setup("gunicorn-busy", "one sync worker, requests of 0.1 s before ours", needs=["pip:gunicorn"])
def gunicorn_busy(place):
    port = place.port()
    place.start(
        "pip:gunicorn", "-b", f"127.0.0.1:{port}", "-w", 1, "--worker-tmp-dir", place.dir, "wsgi_app:app", port=port,
    )
    place.load(port, "/busy", 2)
    return port


@setup("apache-few-threads", "two threads, slow requests before ours", needs=["apt:apache2", "pip:gunicorn"])
def apache_few_threads(place):
    origin = place.port()
    place.start(
        "pip:gunicorn", "-b", f"127.0.0.1:{origin}", "-k", "gthread", "--threads", 8, "-w", 1, "--worker-tmp-dir", place.dir,
        "wsgi_app:app", port=origin,
    )
    port = place.apache(
        f'ThreadsPerChild 2\nMaxRequestWorkers 2\nServerLimit 1\nProxyPass "/busy" "http://127.0.0.1:{origin}/busy"\n',
        modules=("proxy", "proxy_http"),
    )
    place.load(port, "/busy", 3)
    return port
