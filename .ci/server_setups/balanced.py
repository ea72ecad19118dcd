"""Several clocks behind one address, and clocks that run at another rate."""

import socket

from .harness import FILES, Drift, NotRun, Skews, Target, setup

NEEDS = ["apt:haproxy", "apt:nginx-light", "apt:libfaketime"]


def two(place, skew):
    return place.origin("+0"), place.origin(f"+{skew}s")


def by_request(place, skew):
    one, other = two(place, skew)
    port = place.haproxy(
        "listen web\n    mode http\n    bind PORT\n    balance roundrobin\n"
        f"    server one 127.0.0.1:{one}\n    server two 127.0.0.1:{other}\n"
    )
    return Target(port, truth=Skews(0.0, skew))


def by_connection(place, skew):
    one, other = two(place, skew)
    port = place.haproxy(
        "listen web\n    mode tcp\n    bind PORT\n    balance roundrobin\n"
        f"    server one 127.0.0.1:{one}\n    server two 127.0.0.1:{other}\n"
    )
    return Target(port, truth=Skews(0.0, skew))


def at_random(place, skew):
    one, other = two(place, skew)
    port = place.port()
    place.start("python3", FILES / "balancer.py", port, "random", one, other, port=port)
    return Target(port, truth=Skews(0.0, skew))


for skew, text in ((0.4, "400ms"), (0.05, "50ms"), (0.005, "5ms")):
    setup(
        f"two-clocks-{text}-by-request", f"HAProxy, each request to the other of two nginx {text} apart",
        needs=NEEDS, broken="6", misses=0.05, meter=False,
    )(lambda place, skew=skew: by_request(place, skew))
    setup(
        f"two-clocks-{text}-by-connection", f"HAProxy, each connection to the other of two nginx {text} apart",
        needs=NEEDS, broken="6" if skew == 0.05 else "", misses=0.05, meter=False,
    )(lambda place, skew=skew: by_connection(place, skew))

setup(
    "two-clocks-50ms-at-random", "a TCP balancer, each connection to one of two nginx 50ms apart, at random",
    needs=NEEDS[1:], misses=0.05, meter=False,
)(lambda place: at_random(place, 0.05))


@setup(
    "two-clocks-400ms-nginx-stream", "nginx stream, each connection to the other of two nginx 400ms apart",
    needs=[*NEEDS[1:], "apt:libnginx-mod-stream"], misses=0.05, meter=False,
)
def nginx_stream(place):
    one, other = two(place, 0.4)
    port = place.port()
    place.nginx(
        "",
        port=port,
        main="load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n"
        f"stream {{ upstream both {{ server 127.0.0.1:{one}; server 127.0.0.1:{other}; }}\n"
        f"    server {{ listen 127.0.0.1:{port}; proxy_pass both; }} }}",
    )
    return Target(port, truth=Skews(0.0, 0.4))


@setup(
    "two-clocks-400ms-nginx-proxy", "nginx proxy_pass to two nginx 400ms apart: it stamps itself, so there is one clock",
    needs=NEEDS[1:],
)
def nginx_proxy(place):
    one, other = two(place, 0.4)
    port = place.port()
    place.nginx(
        f"""upstream both {{ server 127.0.0.1:{one}; server 127.0.0.1:{other}; }}
    server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://both; }} }}"""
    )
    return port


@setup(
    "two-clocks-400ms-apache", "Apache mod_proxy_balancer, each request to the other of two nginx 400ms apart",
    needs=["apt:apache2", *NEEDS[1:]], misses=0.05, meter=False,
)
def apache_balancer(place):
    one, other = two(place, 0.4)
    port = place.apache(
        f'<Proxy "balancer://both">\nBalancerMember "http://127.0.0.1:{one}"\nBalancerMember "http://127.0.0.1:{other}"\n'
        '</Proxy>\nProxyPass "/" "balancer://both/"\n',
        modules=("proxy", "proxy_http", "slotmem_shm", "lbmethod_byrequests", "proxy_balancer"),
    )
    return Target(port, truth=Skews(0.0, 0.4))


@setup(
    "two-clocks-400ms-two-addresses", "localhost: ::1 and 127.0.0.1 are two nginx 400ms apart",
    needs=NEEDS[1:], misses=0.05, meter=False,
)
def two_addresses(place):
    if len({address[4][0] for address in socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)}) < 2:
        raise NotRun("localhost has one address here")
    port = place.origin("+0")
    place.origin("+0.4s", address="[::1]", port=port)
    return Target(port, truth=Skews(0.0, 0.4), host="localhost")


def drifting(place, ppm):
    port = place.origin(f"+0 x{1 + ppm * 1e-6:.6f}")
    return Target(port, truth=Drift(ppm, port))


for ppm in (50, 300, 1000, 2000, 5000, -2000):
    within = abs(ppm) <= 300
    setup(
        f"drift-{ppm}ppm" if ppm > 0 else f"drift-minus-{-ppm}ppm",
        f"nginx whose clock runs {abs(ppm)} ppm {'fast' if ppm > 0 else 'slow'}",
        needs=NEEDS[1:], broken="7" if ppm in (300, 1000, 5000) else "",
        misses=0.0 if within else 0.05, meter=False,
    )(lambda place, ppm=ppm: drifting(place, ppm))
