"""How a person changes something in the console: look at the equal command, confirm it, and see what becomes of it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, quote

import anyio
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pdk_nb.console.actions import Action, commit_command, commit_files, find
from pdk_nb.console.pages.page import Parameters, parameters
from pdk_nb.console.rendering import Renderer
from pdk_nb.console.trays import Trays
from pdk_nb.lessons.n01_pipelines import classes
from pdk_nb.platforms import mldm
from pdk_shared.errors import NotFound, PdkError, UsageError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Changes"]

log = logging.getLogger(__name__)

#: Bytes of a confirmation.
LONGEST_FORM = 10_000

COMMIT = Action(
    "commit-files",
    "Commit",
    "The dropped files become one commit.",
    lambda session, given: commit_command(given),
    lambda session, given: "",
    lambda given: f"/data/{quote(given.get('project', ''), safe='')}/{quote(given.get('repo', ''), safe='')}",
)


class Changes:
    """The endpoints that change something.

    Args:
        session: The session.
        renderer: Renders the templates.
        answer: Makes a page of a title, its content, and an HTTP status.
        check: What a posted form must repeat.
        allowed: Whether people may change anything.
    """

    def __init__(
        self,
        session: Session,
        renderer: Renderer,
        answer: Callable[[str, str, int], Response],
        check: str,
        allowed: bool,
    ) -> None:
        self._session = session
        self._renderer = renderer
        self._answer = answer
        self._check = check
        self._allowed = allowed
        self._trays = Trays()

    def close(self) -> None:
        """Remove files that weren't committed."""
        self._trays.close()

    def ask(self, request: Request) -> Response:
        """The page that explains an action and asks for a confirmation."""
        given = parameters(request)

        def read(action: Action) -> Response:
            values = {
                "action": action,
                "command": action.command(self._session, given),
                "address": f"{request.url.path}?{request.url.query}",
                "back": action.back(given),
                "given": {"percent": "", **given},
            }
            return self._answer(action.title, self._renderer.render("action.html", **values), 200)

        return self._act(given, read)

    async def act(self, request: Request) -> Response:
        """Do a confirmed action."""
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > LONGEST_FORM:
                return PlainTextResponse("The form is too long.\n", 413)
        form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if not secrets.compare_digest(form.pop("check", "").encode(), self._check.encode()):
            return PlainTextResponse("Confirm the action on the console's own page.\n", 403)
        given = {**form, **parameters(request)}

        def run(action: Action) -> Response:
            command = action.command(self._session, given)
            said = action.run(self._session, given)
            log.warning("%s: %s", action.title, said)
            part = self._renderer.render("done.html", said=said, command=command, back=action.back(given))
            return self._answer(action.title, part, 200)

        return await anyio.to_thread.run_sync(self._act, given, run)

    def _act(self, given: dict[str, str], do: Callable[[Action], Response]) -> Response:
        try:
            if not self._allowed:
                raise UsageError("This console only reads.", fix="pdk-nb ui --allow-changes")
            return do(replace(COMMIT, run=self._commit) if given["action"] == COMMIT.name else find(given["action"]))
        except (NotFound, UsageError) as error:
            return self._answer("It can't be done", self._renderer.problem(error), 404)
        except PdkError as error:
            return self._answer("It can't be done", self._renderer.problem(error), 503)
        except Exception as error:
            return self._answer("It can't be done", self._renderer.problem(error), 500)

    def drop(self, request: Request) -> Response:
        """The page that takes files for a commit."""
        given = parameters(request)

        def read(action: Action) -> Response:
            names, client = self._session.names, self._session.pachyderm
            own = (given["project"], given["repo"]) == (names.project, names.data_repo)
            values = {
                "given": given,
                "tray": self._trays.new(),
                "folder": mldm.next_folder(client, given["project"], given["repo"]),
                "classes": classes(self._session) if own else (),
            }
            return self._answer(f"Commit files to {given['repo']}", self._renderer.render("drop.html", **values), 200)

        return self._act({**given, "action": COMMIT.name}, read)

    async def upload(self, request: Request) -> Response:
        """Put a file into a tray."""
        if not secrets.compare_digest(request.headers.get("x-check", "").encode(), self._check.encode()):
            return PlainTextResponse("Drop files on the console's own page.\n", 403)
        given = parameters(request)
        try:
            tray = await self._trays.add(given.get("tray", ""), given.get("name", ""), request.stream())
        except PdkError as error:
            return PlainTextResponse(f"{error.what} {error.fix}", 400)
        return PlainTextResponse(f"{len(tray.files)}")

    def _commit(self, session: Session, given: Parameters) -> str:
        key = given.get("tray", "")
        id = commit_files(session, given, self._trays.get(key))
        self._trays.remove(key)
        return f"Committed as {id}. The pipelines that read the repo start now; see Flow."
