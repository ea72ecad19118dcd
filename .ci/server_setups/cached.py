"""Caches: for up to a second their responses have an `Age` of 0."""

from .harness import Target, setup
from .plain import trafficserver_at

ONE_SECOND = "sub vcl_backend_response { set beresp.ttl = 1s; set beresp.grace = 0s; set beresp.uncacheable = false; }"
PASS = "sub vcl_recv { return (pass); }"
# A response of the origin that caches keep for a second.
FRESH = 'add_header Cache-Control "max-age=1";'


def used_by_others(place, port, path):
    """Adds GET requests of other clients: most caches answer HEAD from a stored GET only."""
    place.load(port, path, 1, pause=0.15)
    return Target(port, path=path)


@setup(
    "varnish-uvicorn", "Varnish in front of uvicorn, hits of up to 1 s (Age: 0)",
    needs=["apt:varnish", "pip:uvicorn"], broken="3",
)
def varnish_uvicorn(place):
    return place.varnish(place.uvicorn(), ONE_SECOND)


@setup("varnish-nginx", "Varnish in front of nginx, hits of up to 1 s (Age: 0)", needs=["apt:varnish", "apt:nginx-light"])
def varnish_nginx(place):
    return place.varnish(place.origin(), ONE_SECOND)


@setup("varnish-pass-nginx", "Varnish passes to nginx", needs=["apt:varnish", "apt:nginx-light"])
def varnish_pass_nginx(place):
    return place.varnish(place.origin(), PASS)


@setup("varnish-pass-uvicorn", "Varnish passes to uvicorn", needs=["apt:varnish", "pip:uvicorn"])
def varnish_pass_uvicorn(place):
    return place.varnish(place.uvicorn(), PASS)


@setup("varnish-long", "Varnish in front of nginx, hits of up to 60 s", needs=["apt:varnish", "apt:nginx-light"])
def varnish_long(place):
    return place.varnish(place.origin(), ONE_SECOND.replace("1s", "60s"))


def nginx_cache(place, origin, lines):
    port = place.port()
    place.nginx(
        f"""proxy_cache_path {place.dir}/cache keys_zone=harness:1m;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://127.0.0.1:{origin}; proxy_cache harness; proxy_cache_valid 200 1s; {lines}
        }}
    }}"""
    )
    return port


@setup("nginx-cache", "nginx proxy_cache 1 s in front of nginx; stamps hits itself", needs=["apt:nginx-light"])
def nginx_cache_nginx(place):
    return nginx_cache(place, place.origin(), "")


@setup(
    "nginx-cache-passes-date", "nginx proxy_cache 1 s and proxy_pass_header Date in front of uvicorn: no Age at all",
    needs=["apt:nginx-light", "pip:uvicorn"], broken="3",
)
def nginx_cache_passes_date(place):
    return nginx_cache(place, place.uvicorn(), "proxy_pass_header Date;")


@setup("apache-cache", "Apache mod_cache_disk in front of nginx, max-age=1", needs=["apt:apache2", "apt:nginx-light"])
def apache_cache(place):
    origin = place.origin(lines=FRESH)
    (place.dir / "cache").mkdir(mode=0o777)
    (place.dir / "cache").chmod(0o777)
    port = place.apache(
        f'CacheRoot {place.dir}/cache\nCacheEnable disk "/"\nProxyPass "/" "http://127.0.0.1:{origin}/"\n',
        modules=("proxy", "proxy_http", "cache", "cache_disk"),
    )
    return used_by_others(place, port, "/")


@setup("squid-cache-nginx", "squid as accelerator in front of nginx, max-age=1", needs=["apt:squid", "apt:nginx-light"])
def squid_cache_nginx(place):
    origin = place.origin(lines=FRESH)
    port = place.squid(
        "http_port PORT accel no-vhost defaultsite=127.0.0.1\n"
        f"cache_peer 127.0.0.1 parent {origin} 0 no-query originserver no-digest"
    )
    return used_by_others(place, port, "/")


@setup("squid-cache-uvicorn", "squid as accelerator in front of uvicorn, max-age=1", needs=["apt:squid", "pip:uvicorn"])
def squid_cache_uvicorn(place):
    origin = place.uvicorn()
    port = place.squid(
        "http_port PORT accel no-vhost defaultsite=127.0.0.1\n"
        f"cache_peer 127.0.0.1 parent {origin} 0 no-query originserver no-digest"
    )
    return used_by_others(place, port, "/fresh")


@setup("haproxy-cache-uvicorn", "HAProxy's cache in front of uvicorn, max-age=1", needs=["apt:haproxy", "pip:uvicorn"])
def haproxy_cache_uvicorn(place):
    port = place.haproxy(
        "cache harness\n    total-max-size 4\n    max-age 1\n"
        "listen web\n    mode http\n    bind PORT\n    http-request cache-use harness\n"
        f"    http-response cache-store harness\n    server one 127.0.0.1:{place.uvicorn()}\n"
    )
    return used_by_others(place, port, "/fresh")


@setup(
    "trafficserver-cache-uvicorn", "Traffic Server in front of uvicorn, max-age=1", needs=["apt:trafficserver", "pip:uvicorn"],
)
def trafficserver_cache_uvicorn(place):
    port = trafficserver_at(place, f"map / http://127.0.0.1:{place.uvicorn()}/\n")
    return used_by_others(place, port, "/fresh")
