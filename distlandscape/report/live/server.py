"""Serves the page of a run on loopback: a few fixed addresses, read only, behind a token."""

from __future__ import annotations

import contextlib
import hmac
import json
import resource
import secrets
import socket
import sys
import threading
import time
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jinja2
from plotly.offline import get_plotlyjs

from distlandscape.errors import InputError
from distlandscape.redaction import redact
from distlandscape.report.live.state import Follower

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")  # of this server, in a Host header
FRESH_SECONDS = 1.0  # so many pages may look at the same state
SOCKET_SECONDS = 10.0  # a client has to send its request, and again to take the answer
CONNECTIONS = 32  # at a time; a browser opens six
OWN_FILES = 32  # descriptors that are no connections
PAUSE_SECONDS = 0.05  # where the process has no descriptor left for a connection
BUSY = b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\ntoo many connections\n"
# Plotly writes its own style elements, so styles cannot be limited to this server.
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; img-src data: blob:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The written page has its scripts in it; it gets an origin of its own and may load nothing.
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline';"
    " img-src data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HTML, SCRIPT, JSON = "text/html", "text/javascript", "application/json"


class LiveServer(ThreadingHTTPServer):
    """The page of one run on 127.0.0.1.

    Args:
        follower: reads the run directory.
        port: 0 takes a free one.

    Attributes:
        token: what a request has to know.

    Raises:
        InputError: the port is taken, or not for this user.
    """

    daemon_threads = True
    request_queue_size = 128  # connections that wait to be accepted; a sixth would wait seconds with the default of 5

    def __init__(self, follower: Follower, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        self._follower, self._lock = follower, threading.Lock()
        self._state, self._read = b"", float("-inf")
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._room = max(4, min(CONNECTIONS, (files - OWN_FILES) // 2)) if files > 0 else CONNECTIONS
        self._silent: dict[socket.socket, float] = {}  # connections whose request is not here yet, the oldest first
        self._heard: set[socket.socket] = set()
        self._gate = threading.Lock()
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"port {port} of {HOST} cannot be served ({reason}); choose another with --port") from None

    @property
    def url(self) -> str:
        """The page's address, the token in it."""
        return f"http://{HOST}:{self.server_port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Name of the cookie: browsers do not keep the cookies of several ports apart."""
        return f"distlandscape-{self.server_port}"

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; without a free descriptor wait a moment, or the loop would ask again at once."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(PAUSE_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection its thread; where there are too many, one that has said nothing yet makes room."""
        with self._gate:
            full = len(self._silent) + len(self._heard) >= self._room
            if full and self._silent:
                self._let_go(next(iter(self._silent)))
                full = False
            if not full:
                self._silent[request] = time.monotonic()
        if full:
            with contextlib.suppress(OSError):
                request.send(BUSY, socket.MSG_DONTWAIT)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Let those go whose request does not come: one byte now and then would hold a connection for ever."""
        oldest = time.monotonic() - SOCKET_SECONDS
        with self._gate:
            for request in [one for one, since in self._silent.items() if since < oldest]:
                self._let_go(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, whose place is free then."""
        with self._gate:
            self._silent.pop(request, None)
            self._heard.discard(request)
        super().shutdown_request(request)

    def heard(self, request: socket.socket) -> None:
        """The request of this connection is here."""
        with self._gate:
            if self._silent.pop(request, None) is not None:
                self._heard.add(request)

    def _let_go(self, request: socket.socket) -> None:
        """Wake the thread that waits for a request; it closes the connection."""
        del self._silent[request]
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell what went wrong, but for a browser that left in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def state(self) -> bytes:
        """The state as JSON, at most a second old.

        Raises:
            InputError: the run directory is gone.
        """
        with self._lock:
            if time.monotonic() - self._read > FRESH_SECONDS:
                self._state = json.dumps(self._follower.state(), allow_nan=False).encode()
                self._read = time.monotonic()
            return self._state

    def page(self) -> bytes:
        """The frame that the script fills."""
        text = resources.files("distlandscape.report.live").joinpath("page.html.j2").read_text(encoding="utf-8")
        environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
        return environment.from_string(text).render(name=self._follower.path.name).encode()

    def report(self) -> bytes | None:
        """The page of the finished run; None where there is none yet."""
        page = self._follower.report
        return None if page is None else page.read_bytes()


class _Handler(BaseHTTPRequestHandler):
    server: LiveServer
    server_version, sys_version = "distlandscape", ""
    timeout = SOCKET_SECONDS

    def parse_request(self) -> bool:
        """Read the request, which is whole then."""
        parsed = super().parse_request()
        self.server.heard(self.connection)
        return parsed

    def do_GET(self) -> None:
        """Answer one request: known host, known token, known address, in this order."""
        if not self._known_host():
            return self._refuse(HTTPStatus.FORBIDDEN, "this server answers to its own address only")
        address = urlsplit(self.path)
        if not self._known_token(parse_qs(address.query)):
            return self._refuse(HTTPStatus.FORBIDDEN, "the token is missing or wrong: open the printed address")
        try:
            found = self._content(address.path)
        except Exception as error:  # the run directory is gone, or a file came or went; the page asks again
            why = redact(f"the run directory could not be read: {type(error).__name__}: {error}")
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, why)
        if found is None:
            return self._refuse(HTTPStatus.NOT_FOUND, "there is nothing at this address")
        return self._send(HTTPStatus.OK, *found)

    def do_POST(self) -> None:
        """Refuse whatever is not a GET."""
        self.close_connection = True
        self._refuse(HTTPStatus.METHOD_NOT_ALLOWED, "this server can only be read")

    do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = do_POST  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: addresses hold the token."""

    def _content(self, path: str) -> tuple[str, bytes, str] | None:
        """Kind, content and policy of what is at an address; None: nothing is."""
        if path == "/":
            return HTML, self.server.page(), POLICY
        if path == "/state":
            return JSON, self.server.state(), POLICY
        if path == "/live.js":
            return SCRIPT, _script(), POLICY
        if path == "/plotly.js":
            return SCRIPT, _plotly(), POLICY
        report = self.server.report() if path == "/report" else None
        return None if report is None else (HTML, report, REPORT_POLICY)

    def _known_host(self) -> bool:
        """Whether the request was meant for this server, and not for a name that was led here."""
        hosts = self.headers.get_all("Host") or []
        return len(hosts) == 1 and hosts[0].lower() in {f"{name}:{self.server.server_port}" for name in NAMES}

    def _known_token(self, query: dict[str, list[str]]) -> bool:
        """Whether address or cookie hold the token; the time it takes does not tell how much of it is right."""
        # Cookies of other programs on this machine come along, and some of them no parser of cookies takes.
        pairs = (pair.partition("=") for line in self.headers.get_all("Cookie", []) for pair in line.split(";"))
        cookies = [value.strip().strip('"') for name, _, value in pairs if name.strip() == self.server.cookie]
        given = [*query.get("token", []), *cookies]
        return any(hmac.compare_digest(one.encode(), self.server.token.encode()) for one in given)

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        self._send(status, "text/plain", f"{why}\n".encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes, policy: str = POLICY) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": f"{kind}; charset=utf-8",
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        if status is HTTPStatus.OK and kind == HTML:
            headers["Set-Cookie"] = f"{self.server.cookie}={self.server.token}; Path=/; HttpOnly; SameSite=Strict"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@cache
def _script() -> bytes:
    return resources.files("distlandscape.report.live").joinpath("live.js").read_bytes()


@cache
def _plotly() -> bytes:
    return str(get_plotlyjs()).encode()
