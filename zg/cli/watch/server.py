"""The page of `zg watch`, over HTTP on the loopback interface.

Who may read it: whoever has its address, which holds a random token. What it answers: GET, of the page, of the list of
runs and of their pictures. A page of another site cannot read it through the browser of its owner: it does not know the
token, and a name that it has made to mean this machine is not in `HOSTS`.
"""

import hmac
import json
import os
import secrets
import socket
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast

from werkzeug.exceptions import Forbidden, HTTPException, MethodNotAllowed, NotFound, SecurityError
from werkzeug.routing import Map, Rule
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.utils import redirect
from werkzeug.wrappers import Request, Response

from zg.cli.watch.runs import Runs
from zg.errors import SettingError
from zg.run.files import finite

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOOPBACK = "127.0.0.1"
#: What a browser may call this machine; any port, for a tunnel has its own.
HOSTS = [LOOPBACK, "localhost"]
#: The highest port.
HIGHEST = 65535
#: The files of the page, and their types.
PARTS = {"page.html": "text/html", "page.js": "text/javascript", "page.css": "text/css"}
#: The page runs its own script, loads from its own address alone, and stands in no other page.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
#: How long a browser may keep a picture, in seconds. Its address changes with its content.
KEPT = 3600


class Site:
    """The WSGI application. token: the first part of every path."""

    def __init__(self, runs: Runs, token: str) -> None:
        self.runs, self.token = runs, token
        rules = [
            Rule("/", endpoint=lambda request: part("page.html")),
            Rule("/<any('page.js', 'page.css'):name>", endpoint=lambda request, name: part(name)),
            Rule("/runs.json", endpoint=self.list),
            Rule("/runs/<id>/details.json", endpoint=self.details),
            Rule("/runs/<id>/<path:name>", endpoint=self.picture),
        ]
        self.rules = Map(rules, merge_slashes=False)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            response = self.answer(Request(environ))
        except HTTPException as error:
            response = Response(f"{error.code}: {error.description}\n", error.code, mimetype="text/plain")
        response.headers.update(HEADERS)
        return response(environ, start_response)

    def answer(self, request: Request) -> Response:
        """The response to a request. Raises HTTPException for all that is not to be had."""
        request.trusted_hosts = HOSTS
        try:
            host = request.host
        except SecurityError:
            raise Forbidden(f"this page is called {' or '.join(HOSTS)}") from None
        token, slash, rest = request.path.removeprefix("/").partition("/")
        if not hmac.compare_digest(token.encode(errors="replace"), self.token.encode()):
            raise Forbidden("the address must have the token that `zg watch` has printed")
        if request.method != "GET":
            raise MethodNotAllowed(["GET"], "this page can only be read")
        if not slash:  # the page names its parts relative to its folder
            return redirect(f"/{self.token}/")
        found, values = self.rules.bind(host, path_info=f"/{rest}").match()
        return cast(Response, found(request, **values))

    def list(self, request: Request) -> Response:
        """Every run, with one column of its history. A browser that has it already is told so."""
        content = {"folder": str(self.runs.root), "runs": self.runs.all(request.args.get("column", "loss"))}
        return told(request, content)

    def details(self, request: Request, id: str) -> Response:
        """Config, error and numbers of a run."""
        if (found := self.runs.details(id)) is None:
            raise NotFound("there is no such run")
        return told(request, found)

    def picture(self, request: Request, id: str, name: str) -> Response:
        """A picture of a run."""
        if (content := self.runs.picture(id, name)) is None:
            raise NotFound("there is no such picture, or it is being written")
        response = Response(content, mimetype="image/png")
        response.cache_control.private, response.cache_control.max_age = True, KEPT
        return response


def part(name: str) -> Response:
    """A file of the page."""
    response = Response(files(__package__).joinpath(name).read_bytes(), mimetype=PARTS[name])
    response.cache_control.no_store = True
    return response


def told(request: Request, content: dict[str, Any]) -> Response:
    """JSON, or that it is what the browser has."""
    response = Response(json.dumps(finite(content), allow_nan=False), mimetype="application/json")
    response.cache_control.no_cache = True
    response.add_etag()
    response.make_conditional(request)
    response.headers.pop("Date")  # the server adds its own, and a browser joins the two
    return response


class Quiet(WSGIRequestHandler):
    """Prints no line for a request: every two seconds there are some."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Nothing."""


def serve(runs: Runs, port: int = 0) -> tuple[BaseWSGIServer, str]:
    """A server that listens on the loopback interface, and the address of its page. port: 0 is any that is free.

    Raises SettingError for a port that cannot be had.
    """
    if not 0 <= port <= HIGHEST:
        raise SettingError(f"port must be from 0 to {HIGHEST}, got {port}")
    try:
        listening = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise SettingError(f"port must be a free one, got {port}: {os.strerror(error.errno or 0)}") from None
    token = secrets.token_urlsafe(24)
    with listening:  # the server makes a copy of the socket
        number = listening.getsockname()[1]
        server = make_server(LOOPBACK, number, Site(runs, token), True, 1, Quiet, fd=listening.fileno())
    return server, f"http://{LOOPBACK}:{number}/{token}/"
