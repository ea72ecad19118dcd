"""Shared code of the set-ups: packages, processes, a scratch directory, the truth, measurements.

A set-up is a function with `@setup(...)` that starts its servers and returns the port to measure,
or a `Target`:

    @setup("nginx", needs=["apt:nginx-light"], how="default settings")
    def nginx(place):
        port = place.port()
        place.nginx(f"server {{ listen 127.0.0.1:{port}; }}")
        return port

All servers read this machine's clock, so the true offset is 0 s. Where libfaketime gives a server
another clock, the `Target` states it: `truth=Skews(...)` or `truth=Drift(...)`.
"""

import concurrent.futures
import dataclasses
import email.utils
import glob
import json
import math
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILES = Path(__file__).resolve().parent / "files"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SCRATCH = TARGET / "servers"
VENV = SCRATCH / "venv"
PROFILES = ("polite", "balanced", "fast")
# Maximum waits, in seconds.
START_TIMEOUT = 20.0
QUERY_TIMEOUT = 60.0
STOP_TIMEOUT = 3.0
# The time from the program's last exchange until its exit. A drifting clock moves meanwhile.
EXIT_DELAY = 0.03
# What every measurement with stamps must reach, in seconds: the width of the bounds beyond round
# trip, quantum, lag and drift; the median error with stamps of 1 ms, and with finer ones; the
# median duration with finer ones. The times count from so many measurements on.
STAMP_WIDTH = 0.5e-3
STAMP_ERROR_MS = 150e-6
STAMP_ERROR = 100e-6
STAMP_ELAPSED = 0.3
RUNS_FOR_TIMES = 10

SETUPS = {}


class NotRun(Exception):
    """The set-up needs software that is not installed."""


class StartFailed(Exception):
    """The software is installed, but the set-up does not work."""


# What is asked, and the truth


class Skews:
    """Servers behind one address, each with a constant offset from this machine's clock, in s."""

    def __init__(self, *offsets):
        self.offsets = offsets or (0.0,)

    def at(self, _instant):
        return [(offset, offset) for offset in self.offsets]

    def single(self):
        return self.offsets[0] if len(self.offsets) == 1 else None


class Drift:
    """A clock at `1 + ppm / 10^6` times the rate of this machine's, compared with its own stamps.

    libfaketime computes start + (now - start) * rate. The start is not known well enough, so it is
    taken from stamps: each of them, with a resolution of 1 ms, was made between two readings of
    this machine's clock.
    """

    def __init__(self, ppm, port, path="/truth"):
        self.ppm, self.port, self.path = ppm, port, path
        self.reference = time.time()
        self.low, self.high = -1e9, 1e9
        self.observe()

    def observe(self, count=60):
        """Narrows the offset's interval at the reference. Raises if stamps contradict the rate."""
        for _ in range(count):
            sent, received, head, _ = exchange(("127.0.0.1", self.port), "HEAD", self.path)
            stamp = re.search(rb"\r\nX-Harness-Msec: ([0-9.]+)\r\n", head, re.I)
            if not stamp:
                raise StartFailed("the server with a drifting clock sends no stamp")
            stamp = float(stamp[1])
            self.low = max(self.low, stamp - received - self._grown(received))
            self.high = min(self.high, stamp + 0.001 - sent - self._grown(sent))
            time.sleep(random.uniform(0.0, 0.004))
        if self.low > self.high + 0.0005:
            raise StartFailed(f"the clock's stamps contradict a rate of {self.ppm} ppm: {self.low} > {self.high}")

    def _grown(self, instant):
        return (instant - self.reference) * self.ppm * 1e-6

    def at(self, instant):
        low, high = sorted((self.low, self.high))
        before, after = self._grown(instant - EXIT_DELAY), self._grown(instant)
        return [(low + min(before, after), high + max(before, after))]

    def single(self):
        return None


@dataclasses.dataclass
class Target:
    """What is measured of a set-up: an address, a path, and the proxy to use."""

    port: int
    path: str = "/"
    proxy: int | None = None
    options: tuple = ()
    truth: object = dataclasses.field(default_factory=Skews)
    host: str = "127.0.0.1"

    @property
    def url(self):
        return f"http://{self.host}:{self.port}{self.path}"

    def arguments(self):
        if self.proxy is None:
            return [*self.options, self.url]
        return ["--proxy", f"http://127.0.0.1:{self.proxy}", *self.options, self.url]


@dataclasses.dataclass
class Setup:
    """One set-up: its name, its needs, the function that starts it, and what is expected of it."""

    name: str
    family: str
    how: str
    start: object
    needs: tuple = ()
    # The fault that this set-up showed. `--broken` runs the set-ups with one.
    broken: str = ""
    # The reason why no client can detect that the bounds are wrong here; empty if the bounds must
    # hold.
    unseeable: str = ""
    # The permitted share of bounds that miss the truth: 0, or 0.05 if a client can only find a
    # contradiction by chance.
    misses: float = 0.0
    # Servers with several clocks have no single lag to measure.
    meter: bool = True
    # Whether several clients at once would change the result: a limit on requests, a script that
    # counts them.
    alone: bool = False
    # The quantum of the server's stamps, in s, if every measurement must use them and reach
    # STAMP_WIDTH, STAMP_ERROR and STAMP_ELAPSED.
    quantum: float | None = None
    # Whether the stamp is made after a server behind has answered. Then the forward path is longer
    # than the return path, and up to half of the round trip is added to the error.
    stamps_answer: bool = False

    @property
    def stamped(self):
        """Whether the server sends stamps, right or wrong. They are metered, not the `Date`."""
        return self.family == "stamped"

    def versions(self):
        return ", ".join(filter(None, (version(need) for need in self.needs)))


def setup(name, how, needs=(), **more):
    """Registers a set-up; its family is the module's name."""

    def register(start):
        if name in SETUPS:
            raise ValueError(f"two set-ups are called {name}")
        family = start.__module__.rsplit(".", 1)[-1]
        SETUPS[name] = Setup(
            name=name, family=family, how=how, start=start, needs=tuple(needs), **more
        )
        return start

    return register


# Packages


def binary(name):
    """The path of a program; "pip:NAME" is one of the virtual environment."""
    if name.startswith("pip:"):
        found = shutil.which(name[4:], path=f"{VENV}/bin")
    else:
        found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin:/usr/games")
    if not found:
        raise NotRun(f"{name} is not installed")
    return found


def deb_version(package):
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package], capture_output=True, text=True, check=False
    )
    status, _, text = done.stdout.partition(" ")
    if status != "installed":
        return None
    return re.sub(r"[-+~].*", "", text.split(":", 1)[-1])


def pip_version(package):
    name = re.sub(r"[-_.]+", "_", package.split("[")[0].split("=")[0]).lower()
    for path in glob.glob(f"{VENV}/lib/python3*/site-packages/*.dist-info"):
        found, _, text = Path(path).name.removesuffix(".dist-info").partition("-")
        if re.sub(r"[-_.]+", "_", found).lower() == name:
            return text
    return None


def version(need):
    """Name and version of a need of a set-up; None for a library that is not in the table."""
    kind, _, name = need.partition(":")
    if kind == "apt":
        if name.startswith("lib"):
            return None
        return f"{name} {deb_version(name) or '?'}"
    if kind == "pip":
        return f"{name.split('[')[0].split('=')[0]} {pip_version(name) or '?'}"
    if kind == "program":
        done = subprocess.run(
            [binary(name), "--version"], capture_output=True, text=True, timeout=10, check=False
        )
        number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
        return f"{name} {number[0] if number else '?'}"
    raise ValueError(need)


def missing(need):
    kind, _, name = need.partition(":")
    if kind == "apt":
        return deb_version(name) is None
    if kind == "pip":
        return pip_version(name) is None
    try:
        binary(name)
    except NotRun:
        return True
    return False


def install(setups, say):
    """Installs what the set-ups need. Set-ups whose software cannot be installed are not run."""
    wanted = {need for each in setups for need in each.needs if missing(need)}
    debs = sorted(need[4:] for need in wanted if need.startswith("apt:"))
    pips = sorted(need[4:] for need in wanted if need.startswith("pip:"))
    if debs:
        install_debs(debs, say)
    if pips:
        install_pips(pips, say)


POLICY = Path("/usr/sbin/policy-rc.d")


def install_debs(packages, say):
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        say(f"not root, or no apt: cannot install {' '.join(packages)}")
        return
    created = not POLICY.exists()
    if created:
        # Prevents that a daemon from a package is started.
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        # Packages that conflict with an installed one are left out, so that nothing is removed.
        apt = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "-q", "-y", "--no-install-recommends", "--no-remove"]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        say(f"apt-get install {' '.join(packages)}")

        def attempt(names):
            done = subprocess.run(
                [*apt, "install", *names],
                env=environment, timeout=900, capture_output=True, text=True, check=False,
            )
            return done.returncode == 0

        if not attempt(packages):
            subprocess.run(["apt-get", "-q", "update"], timeout=300, capture_output=True, check=False)
            if not attempt(packages):
                for package in packages:
                    if not attempt([package]):
                        say(f"apt cannot install {package}")
    finally:
        if created:
            POLICY.unlink(missing_ok=True)


def install_pips(packages, say):
    if not (VENV / "bin/pip").exists():
        # An environment that was left incomplete is created again.
        make = [sys.executable, "-m", "venv", "--clear", str(VENV)]
        made = subprocess.run(make, timeout=300, check=False, capture_output=True)
        if made.returncode != 0 or not (VENV / "bin/pip").exists():
            say("python3 -m venv fails here: what needs Python packages is not run")
            return
    pip = [str(VENV / "bin/python"), "-m", "pip", "install", "-q", "--only-binary", ":all:"]
    say(f"pip install {' '.join(packages)}")

    def attempt(names):
        done = subprocess.run([*pip, *names], timeout=900, capture_output=True, check=False)
        return done.returncode == 0

    if not attempt(packages):
        for package in packages:
            if not attempt([package]):
                say(f"pip cannot install {package}")


# Processes


class Place:
    """The scratch directory of one set-up, and its running servers."""

    # Ports that this process has assigned: two set-ups at a time must not get the same one.
    _ports = set()
    _lock = threading.Lock()

    def __init__(self, name):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.dir = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=SCRATCH))
        # Some servers drop root's privileges before they open their files.
        self.dir.chmod(0o777)
        self.processes = []

    def port(self):
        """A free port, below those that the kernel assigns to outgoing connections."""
        with Place._lock:
            while True:
                port = random.randrange(20_000, 32_000)
                if port in Place._ports:
                    continue
                with socket.socket() as probe:
                    try:
                        probe.bind(("127.0.0.1", port))
                    except OSError:
                        continue
                Place._ports.add(port)
                return port

    def write(self, name, text):
        path = self.dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def run(self, *argv, timeout=30):
        done = subprocess.run(
            [str(each) for each in argv],
            cwd=self.dir, capture_output=True, text=True, timeout=timeout, check=False,
        )
        if done.returncode != 0:
            raise StartFailed(f"{argv[0]}: {(done.stderr or done.stdout).strip()[-300:]}")
        return done.stdout

    def start(self, program, *arguments, port=None, env=None):
        """Starts a server in its own process group, and waits until `port` accepts connections."""
        log = self.dir / f"{len(self.processes)}-{Path(str(program)).name.removeprefix('pip:')}.log"
        environment = {
            "PATH": f"{os.environ.get('PATH', '')}:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.dir),
            "TMPDIR": str(self.dir),
            "LANG": "C",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(FILES),
            **(env or {}),
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [binary(str(program)), *(str(each) for each in arguments)],
                cwd=self.dir,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.processes.append(process)
        if port is not None:
            self.await_port(port, process, log)
        return process

    def await_port(self, port, process, log):
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                pass
            stopped = process.poll() is not None
            if stopped or time.monotonic() > deadline:
                tail = log.read_text(errors="replace").strip()[-300:]
                raise StartFailed(f"{log.name}: {'exited' if stopped else 'does not listen'}: {tail}")
            time.sleep(0.05)

    def remove(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def stop(self):
        """Stops every server with its children, by process group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self.processes:
                try:
                    os.killpg(process.pid, number)
                except (ProcessLookupError, PermissionError):
                    pass
            deadline = time.monotonic() + STOP_TIMEOUT
            for process in self.processes:
                try:
                    process.wait(max(0.0, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    pass

    # Servers that many set-ups use

    def nginx(self, http, port=None, main="", events="worker_connections 256;", workers=1, env=None):
        """nginx in the foreground; `http` is the content of its http block."""
        number = len(self.processes)
        config = self.write(
            f"nginx-{number}.conf",
            f"""{'user root;' if os.geteuid() == 0 else ''}
daemon off; worker_processes {workers}; pid {self.dir}/nginx-{number}.pid; error_log {self.dir}/nginx-{number}.error;
env LD_PRELOAD; env FAKETIME; env FAKETIME_DONT_FAKE_MONOTONIC; env DONT_FAKE_MONOTONIC;
{main}
events {{ {events} }}
http {{
    access_log off;
    client_body_temp_path {self.dir}/temp; proxy_temp_path {self.dir}/temp; fastcgi_temp_path {self.dir}/temp;
    uwsgi_temp_path {self.dir}/temp; scgi_temp_path {self.dir}/temp;
    {http}
}}
""",
        )
        listens = re.search(r"listen \S+:(\d+)", main + http)
        self.start("nginx", "-c", config, "-p", self.dir, port=port or int(listens[1]), env=env)

    def origin(self, faketime=None, lines="", address="127.0.0.1", port=None):
        """nginx that answers every path, with a clock shifted by `faketime`. Returns its port."""
        port = port or self.port()
        self.nginx(
            f"""server {{
        listen {address}:{port};
        {lines}
        location / {{ return 200 ok; }}
        location = /truth {{ add_header X-Harness-Msec $msec always; return 204; }}
    }}""",
            port=port,
            env=faketime_env(faketime) if faketime else None,
        )
        return port

    def apache(self, config, modules=(), port=None, env=None):
        """Apache with the event MPM; `config` follows after `Listen`. Returns its port."""
        port = port or self.port()
        number = len(self.processes)
        loads = "".join(
            f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
            for name in ("mpm_event", "authz_core", *modules)
        )
        # The package's files name a user and directories that do not exist here.
        path = self.write(
            f"apache-{number}.conf",
            f"""ServerRoot {self.dir}
DefaultRuntimeDir {self.dir}
PidFile {self.dir}/apache-{number}.pid
Mutex pthread
ErrorLog {self.dir}/apache-{number}.error
ServerName localhost
User www-data
Group www-data
{loads}
Listen 127.0.0.1:{port}
StartServers 1
{config}
""",
        )
        self.start("apache2", "-DFOREGROUND", "-f", path, port=port, env=env)
        return port

    def uvicorn(self, *options, env=None):
        """uvicorn with a minimal application; returns its port."""
        port = self.port()
        self.start(
            "pip:uvicorn", "--host", "127.0.0.1", "--port", port, "--no-access-log", *options, "asgi_app:app",
            port=port, env=env,
        )
        return port

    def haproxy(self, config, env=None):
        """HAProxy in front of others; `config` has PORT as the port. Returns it."""
        port = self.port()
        path = self.write(
            f"haproxy-{len(self.processes)}.cfg",
            "global\n    maxconn 200\n    nbthread 1\n"
            "defaults\n    timeout client 30s\n    timeout server 30s\n    timeout connect 5s\n"
            + config.replace("PORT", f"127.0.0.1:{port}"),
        )
        self.start("haproxy", "-db", "-f", path, port=port, env=env)
        return port

    def caddy(self, site, program="caddy"):
        """Caddy with one site; returns its port."""
        port = self.port()
        path = self.write(
            f"Caddyfile-{len(self.processes)}",
            f"{{\n    admin off\n    auto_https off\n}}\nhttp://127.0.0.1:{port} {{\n    {site}\n}}\n",
        )
        self.start(program, "run", "--config", path, "--adapter", "caddyfile", port=port)
        return port

    def varnish(self, origin, vcl):
        """Varnish in front of `origin`; returns its port."""
        port = self.port()
        path = self.write(
            "default.vcl",
            f'vcl 4.1;\nbackend default {{ .host = "127.0.0.1"; .port = "{origin}"; }}\n{vcl}\n',
        )
        self.start(
            "varnishd", "-F", "-n", self.dir / "varnish", "-f", path, "-a", f"127.0.0.1:{port}", "-s", "malloc,16M",
            "-j", "none", port=port,
        )
        return port

    def squid(self, config, env=None):
        """squid; `config` follows after its own port, which is returned."""
        port = self.port()
        path = self.write(
            "squid.conf",
            f"""pid_filename none
access_log none
cache_log {self.dir}/cache.log
cache_store_log none
coredump_dir {self.dir}
cache_mem 8 MB
shutdown_lifetime 0 seconds
netdb_filename none
pinger_enable off
{config.replace("PORT", f"127.0.0.1:{port}")}
http_access allow localhost
""",
        )
        self.start("squid", "-N", "-n", f"harness{port}", "-f", path, port=port, env=env)
        return port

    def load(self, port, path, clients, seconds=7200, pause=0):
        """Requests `path` during the measurement, from `clients` clients on new connections."""
        self.start("python3", FILES / "flood.py", port, path, clients, seconds, pause)

    def tool(self, name, *arguments, port, env=None):
        """Starts a server of `files/`, with the virtual environment's Python if there is one."""
        python = "pip:python3" if (VENV / "bin/python3").exists() else "python3"
        self.start(python, FILES / name, port, *arguments, port=port, env=env)
        return port


def faketime_env(specification, threads=False):
    """The environment that gives a server another clock: "+0.05s", or "+0 x1.001" for 1000 ppm.

    `threads`: for servers with several threads.
    """
    libraries = glob.glob(f"/usr/lib/*/faketime/libfaketime{'MT' if threads else ''}.so.1")
    if not libraries:
        raise NotRun("libfaketime is not installed")
    return {
        "LD_PRELOAD": libraries[0],
        "FAKETIME": specification,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def pasted(name):
    """The lines of a server's configuration that docs/servers.md gives to its readers."""
    text = (ROOT / "docs/servers.md").read_text()
    block = re.search(rf"<!-- paste: {re.escape(name)} -->\n+```\w*\n(.*?)```", text, re.S)
    if not block:
        raise StartFailed(f"docs/servers.md has no lines to paste for {name}")
    return block[1]


# The lag meter


def read_head(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(8192)
        if not piece:
            raise ConnectionError("closed within a head")
        data += piece
    return data


def exchange(address, method, path, connection=None, timeout=3.0):
    """Sends a request; returns the times around it, the head, and the connection if it is open."""
    if connection is None:
        connection = socket.create_connection(address, timeout=timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # The program's own header fields: some caches obey no-cache, others do not.
    stay = "keep-alive" if method == "HEAD" else "close"
    fields = f"Accept: */*\r\nCache-Control: no-cache\r\nConnection: {stay}\r\n"
    request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{address[1]}\r\n{fields}\r\n".encode()
    sent = time.time()
    connection.sendall(request)
    head = read_head(connection)
    received = time.time()
    head = head[: head.index(b"\r\n\r\n") + 4]
    if method != "HEAD" or re.search(rb"\r\nConnection: *close", head, re.I) or not head.startswith(b"HTTP/1.1"):
        connection.close()
        connection = None
    return sent, received, head, connection


def date_of(head):
    field = re.search(rb"\r\nDate: *([^\r]+)\r\n", head, re.I)
    if not field:
        return None
    try:
        return email.utils.parsedate_to_datetime(field[1].decode("latin-1")).timestamp()
    except (TypeError, ValueError):
        return None


def meter(target, offset, seconds, rng):
    """How late the old `Date` is still served, in seconds.

    Returns the maximum on a kept connection, and that on the first request of one.

    Each is a lower bound of the lag: a response has `date` although the request left later than
    `date + 1 s`. Requests are dense around the instant at which the `Date` advanced before, so the
    bound is too low by at most their distance.
    """
    address = ("127.0.0.1", target.proxy or target.port)
    path = target.path if target.proxy is None else target.url
    method = "HEAD"
    try:
        _, _, head, connection = exchange(address, method, path)
        if date_of(head) is None:
            method = "GET"
        if connection:
            connection.close()
    except (OSError, ConnectionError):
        # A server that closes its connections with a reset may lose one.
        pass
    worst = {"kept": None, "first": None}

    def ask(connection):
        kind = "first" if connection is None else "kept"
        try:
            sent, _, head, connection = exchange(address, method, path, connection)
        except (OSError, ConnectionError):
            return None, None
        date = date_of(head)
        if date is None:
            return connection, None
        late = sent + offset - (date + 1.0)
        # The age of a cached response is not a lag: the client refuses the response. Only responses
        # that the client would use count.
        if re.search(rb"\r\nAge: *[1-9]", head, re.I):
            return connection, None
        if worst[kind] is None or late > worst[kind]:
            worst[kind] = late
        return connection, late

    connection, flip, previous = None, 0.0, None
    deadline = time.monotonic() + seconds / 2
    while time.monotonic() < deadline:
        connection, late = ask(connection)
        if late is not None and previous is not None and late < previous - 0.5:
            flip = (previous + 1.0) % 1.0
        previous = late if late is not None else previous
        distance = abs((time.time() + offset - flip + 0.5) % 1.0 - 0.5)
        time.sleep(0.0003 if distance < 0.008 and connection else 0.009)
    if connection:
        connection.close()
    # An idle server may refresh its clock less often, so some pauses are longer than a second.
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        connection, _ = ask(None)
        if connection:
            connection.close()
        time.sleep(math.exp(rng.uniform(math.log(0.02), math.log(1.4))))
    return worst


# The meter of stamps

STAMP_FIELD = re.compile(rb"\r\nX-HTTPSTIME: *([^\r]*)", re.I)
STAMP_FORM = re.compile(
    rb"(?:t=)?(?:(\d{10})\.(\d{3}|\d{6}|\d{9})|(\d{13}|\d{16}|\d{19}))(?: D=(\d+))?"
)


def stamp_of(head):
    """The first and last ns that the stamp of a response may mean; None if it has no single one."""
    values = STAMP_FIELD.findall(head)
    form = STAMP_FORM.fullmatch(values[0].strip()) if len(values) == 1 else None
    if not form:
        return None
    digits = (form[1] or b"") + (form[2] or b"") + (form[3] or b"")
    unit = 10 ** (19 - len(digits))
    return int(digits) * unit, (int(digits) + 1) * unit


def meter_stamps(target, offset, seconds, rng):
    """How late and how early stamps are, in seconds, and how many responses had no readable one.

    A stamp is late if even its last moment is before the request left, early if its first one is
    after the response arrived. Both are lower bounds, which this process makes too low by its own
    delays.
    """
    address = ("127.0.0.1", target.proxy or target.port)
    path = target.path if target.proxy is None else target.url
    lates, earlies, unreadable, connection = [], [], 0, None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            sent, received, head, connection = exchange(address, "HEAD", path, connection)
        except (OSError, ConnectionError):
            connection = None
            continue
        stamp = stamp_of(head)
        if stamp is None:
            unreadable += 1
        else:
            # Whole seconds are subtracted as integers: a float has no room for ns since 1970.
            first, last = ((each - int(sent) * 10**9) * 1e-9 for each in stamp)
            lates.append(sent % 1.0 + offset - last)
            earlies.append(first - (received - int(sent)) - offset)
        if connection and rng.random() < 0.1:
            connection.close()
            connection = None
        time.sleep(math.exp(rng.uniform(math.log(0.001), math.log(0.6))))
    if connection:
        connection.close()
    return {
        "late": max(lates, default=None),
        "early": max(earlies, default=None),
        "readable": len(lates),
        "unreadable": unreadable,
    }


# Measuring


@dataclasses.dataclass
class Run:
    """One measurement by the program, compared with the truth."""

    profile: str
    status: int
    error: str | None = None
    offset: float | None = None
    bounds: tuple | None = None
    stddev: float | None = None
    lag: float | None = None
    lag_source: str | None = None
    requests: int | None = None
    elapsed: float | None = None
    # Whether the `Date` was seen to advance. If not, the program reports that nothing shows that
    # the clock is running.
    date_advanced: bool | None = None
    # Seconds between the estimate and the truth, and between the bounds and the truth: 0 if they
    # contain it.
    wrong_by: float | None = None
    missed_by: float | None = None
    # The shortest round trip, and the stamp that was used: its header, quantum, and why it was
    # rejected.
    round_trip: float | None = None
    stamp: dict | None = None
    output: object = None
    # How the bounds narrowed: the output of `-v`.
    log: str = ""

    @property
    def width(self):
        return self.bounds[1] - self.bounds[0]


def query(program, target, profile):
    """Runs `httptime query --json` once; returns the outcome."""
    command = [str(program), "query", "--json", "-v", "--profile", profile, *target.arguments()]
    environment = {
        name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")
    }
    try:
        done = subprocess.run(
            command,
            capture_output=True, text=True, timeout=QUERY_TIMEOUT, env=environment, check=False,
        )
    except subprocess.TimeoutExpired:
        return Run(profile, -1, error=f"no end within {QUERY_TIMEOUT:.0f} s")
    ended = time.time()
    try:
        output = json.loads(done.stdout)
    except ValueError:
        error = (done.stderr or done.stdout).strip()[-200:] or "no output"
        return Run(profile, done.returncode, error=error)
    assumptions = output.get("assumptions") or {}
    if done.returncode != 0:
        error = (output.get("error") or {}).get("kind", "no error named")
        return Run(profile, done.returncode, error=error, output=output, log=done.stderr)
    low, high = output["bounds_seconds"]
    truths = target.truth.at(ended)
    return Run(
        profile,
        done.returncode,
        offset=output["offset_seconds"],
        bounds=(low, high),
        stddev=output.get("stddev_seconds"),
        lag=assumptions.get("lag_seconds"),
        lag_source=assumptions.get("lag_source"),
        requests=output.get("requests"),
        elapsed=output.get("elapsed_seconds"),
        date_advanced=output.get("date_advanced"),
        wrong_by=min(abs(output["offset_seconds"] - (one + two) / 2) for one, two in truths),
        missed_by=min(max(0.0, one - high, low - two) for one, two in truths),
        round_trip=output.get("rtt_min_seconds"),
        stamp=output.get("stamp"),
        output=output,
        log=done.stderr,
    )


@dataclasses.dataclass
class Result:
    """The outcome of one set-up."""

    setup: Setup
    # The reason why nothing was measured, or None.
    not_run: str | None = None
    failed: str | None = None
    versions: str = ""
    lag_kept: float | None = None
    lag_first: float | None = None
    # What `meter_stamps` found.
    stamps: dict | None = None
    runs: list = dataclasses.field(default_factory=list)
    seconds: float = 0.0

    @property
    def measured(self):
        """Measurements with a result. Without an advancing `Date` it does not count."""
        return [run for run in self.runs if run.status == 0 and run.date_advanced is not False]

    @property
    def missed(self):
        return [run for run in self.measured if run.missed_by > 0]

    @property
    def understated(self):
        """Whether the meter saw a larger lag than assumed: the bounds held by chance."""
        assumed = max((run.lag for run in self.measured if run.lag is not None), default=None)
        lags = [lag for lag in (self.lag_kept, self.lag_first) if lag is not None]
        metered = max(lags, default=None)
        return assumed is not None and metered is not None and metered > assumed + 0.0005

    @property
    def shortfalls(self):
        """What measurements with stamps must reach and did not, as text."""
        quantum = self.setup.quantum
        if quantum is None or self.not_run or self.failed:
            return []
        found = []
        failed = [run.error for run in self.runs if run.status != 0]
        if failed:
            found.append(f"{len(failed)} measurements failed: {', '.join(sorted(set(map(str, failed))))}")
        for run in self.measured:
            stamp = run.stamp or {}
            rejected = (stamp.get("rejected") or {}).get("kind")
            used = stamp.get("header", "").lower() == "x-httpstime" and not rejected
            if not used or not math.isclose(stamp["quantum_seconds"], quantum):
                found.append(f"{run.profile}: stamps of {quantum} s were not used: {run.stamp}")
                continue
            drift = run.output["assumptions"]["drift_ppm"] * 1e-6 * run.elapsed
            limit = run.round_trip + quantum + (run.lag or 0.0) + drift + STAMP_WIDTH
            if run.width > limit:
                found.append(f"{run.profile}: bounds {run.width * 1e6:.0f} µs wide; at most {limit * 1e6:.0f}")
        # Of a few measurements on a busy machine, times and errors show the machine.
        if len(self.measured) < RUNS_FOR_TIMES:
            return found
        # `polite` pauses for a second after each request. The faster half counts: one slow response
        # on a loaded machine is no fault.
        took = [run.elapsed for run in self.measured if run.profile != "polite"]
        if quantum < 1e-3 and took and statistics.median_low(took) > STAMP_ELAPSED:
            found.append(f"took {statistics.median_low(took):.3f} s; at most {STAMP_ELAPSED}")
        limit = STAMP_ERROR_MS if quantum >= 1e-3 else STAMP_ERROR
        if self.setup.stamps_answer and self.measured:
            limit += statistics.median(run.round_trip for run in self.measured) / 2
        median = statistics.median([run.wrong_by for run in self.measured] or [math.inf])
        if median > limit:
            found.append(f"median error {median * 1e6:.0f} µs; at most {limit * 1e6:.0f}")
        return found

    @property
    def bad(self):
        """Whether this set-up fails the harness."""
        if self.failed:
            return True
        if self.not_run:
            return False
        if any(run.status not in (0, 1) for run in self.runs) or self.shortfalls:
            return True
        if self.setup.unseeable:
            return False
        # Rounded up: of a few runs, one may be the one in twenty.
        return len(self.missed) > math.ceil(self.setup.misses * len(self.runs))


def hold(each, seconds, stop):
    """Starts one set-up, prints its address, and keeps it running for inspection."""
    place = Place(each.name)
    try:
        target = each.start(place)
        target = Target(target) if isinstance(target, int) else target
        print(" ".join(target.arguments()), flush=True)
        stop.wait(seconds)
    finally:
        place.stop()
        place.remove()


def run_setup(each, program, profiles, runs, meter_seconds, seed, stop, at_once=1):
    """Starts one set-up, meters its lag, measures it `runs` times in each profile, and stops it.

    Runs `at_once` measurements at the same time.
    """
    rng = random.Random(f"{seed} {each.name}")
    began = time.monotonic()
    result = Result(each)
    absent = [need for need in each.needs if missing(need)]
    if absent:
        result.not_run = f"cannot be installed here: {', '.join(absent)}"
        return result
    place = Place(each.name)
    try:
        target = each.start(place)
        if isinstance(target, int):
            target = Target(target)
        result.versions = each.versions()
        time.sleep(0.3)
        offset = target.truth.single()
        if each.meter and offset is not None and meter_seconds:
            if each.stamped:
                result.stamps = meter_stamps(target, offset, meter_seconds, rng)
            else:
                worst = meter(target, offset, meter_seconds, rng)
                result.lag_kept, result.lag_first = worst["kept"], worst["first"]

        def measure(profile, pause):
            if stop.is_set():
                raise NotRun("stopped")
            # At any phase of the server's second.
            time.sleep(pause)
            return query(program, target, profile)

        with concurrent.futures.ThreadPoolExecutor(1 if each.alone else at_once) as pool:
            planned = [
                (profile, rng.uniform(0.0, 1.0)) for _ in range(runs) for profile in profiles
            ]
            for future in [pool.submit(measure, *each_run) for each_run in planned]:
                result.runs.append(future.result())
        if isinstance(target.truth, Drift):
            target.truth.observe()
        for process in place.processes:
            if process.poll() is not None:
                raise StartFailed(f"{process.args[0]} exited with {process.returncode} while it was measured")
    except NotRun as reason:
        result.not_run = str(reason)
    except StartFailed as reason:
        result.failed = str(reason)
    except Exception as reason:  # One set-up that fails in its own way must not end the others.
        result.failed = f"{type(reason).__name__}: {reason}"
    finally:
        place.stop()
        # The files of a set-up that fails are kept for inspection.
        if not result.failed:
            place.remove()
        result.seconds = time.monotonic() - began
    return result
