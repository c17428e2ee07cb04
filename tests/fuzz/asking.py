"""Sends requests and judges the answers: what is wrong is kept by kind, with the smallest request that shows it."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.fuzz.values import smaller

ANSWER_S = 15.0
SHRINKING_TRIES = 80
# 501 says honestly that something isn't there.
HONEST = 501
NOTHING = "no answer"
SHOWN = 400
# What stands in an answer where Python's own words reached the client.
PYTHON_WORDS = re.compile(
    r"Traceback \(most recent"
    r"|(?:Type|Key|Attribute|Index|Value|Assertion|Recursion|Overflow|Operational|Integrity)Error\b"
    r"|object has no attribute|object is not (?:subscriptable|iterable)|unexpected keyword argument|NoneType"
)


@dataclass(frozen=True)
class Case:
    """A request.

    Attributes:
        call: What is called, such as ``PatchExperiment`` or ``PUT configmaps``.
        method: The HTTP method.
        path: The path, not yet quoted.
        query: The parameters; a text is sent as it is.
        body: An object for JSON, or bytes that are sent as they are.
        headers: Further headers.
    """

    call: str
    method: str
    path: str
    query: Any = field(default_factory=dict)
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """The path and query as they are sent."""
        text = self.query if isinstance(self.query, str) else urlencode(_pairs(self.query), quote_via=quote)
        return quote(self.path, safe="/~:@!$&'()*+,;=-._", errors="replace") + (f"?{text}" if text else "")

    @property
    def content(self) -> bytes | None:
        """The body as it is sent."""
        if self.body is None or isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()

    def __str__(self) -> str:
        content = self.content
        words = [self.method, self.target, *(f"{name}: {value};" for name, value in self.headers.items())]
        if content is None:
            return " ".join(words)
        rest = f" and {len(content) - SHOWN} bytes more" if len(content) > SHOWN else ""
        return f"{' '.join(words)} {content[:SHOWN]!r}{rest}"


def _pairs(query: Any) -> list[tuple[str, str]]:
    found = []
    for name, value in query.items():
        for each in value if isinstance(value, list) else [value]:
            text = each if isinstance(each, str) else json.dumps(each)
            found.append((str(name), text.encode("utf-8", "replace").decode()))
    return found


@dataclass
class Finding:
    """What is wrong, and the smallest request found that shows it.

    Attributes:
        kind: The call and what happened, without what differs from time to time.
        words: The answer's or the log's own words.
        case: The request.
        times: How often it happened.
    """

    kind: str
    words: str
    case: Case
    times: int = 1


class Asker:
    """Sends requests to one service.

    Args:
        url: The service's URL.
        headers: Headers of every request.
        log: The service's log file.
        certificates: File of trusted certificates, for https.
        endless: Whether a call may stay open for ever; then it is left after a second.
        allowed: Words of a 5xx that the real server answers, too.
    """

    def __init__(
        self,
        url: str,
        headers: dict[str, str],
        log: Path,
        certificates: str = "",
        endless: Callable[[Case], bool] = lambda case: False,
        allowed: str = "",
    ) -> None:
        self._address = urlsplit(url)
        self.headers = headers
        self._log = log
        self._read = 0
        self._endless = endless
        self._allowed = allowed
        self._context = ssl.create_default_context(cafile=certificates) if self._address.scheme == "https" else None
        self._connection: http.client.HTTPConnection | None = None
        #: What a service's requests are made from.
        self.kinds: list[dict[str, Any]] = []
        self.documents: list[dict[str, Any]] = []
        self.findings: dict[str, Finding] = {}
        self.asked = 0
        self.statuses: dict[int, int] = {}
        self.new_log()

    def ask(self, case: Case) -> int:
        """Send a request; keep what is wrong with its answer, and return the status, or 0 where there was none."""
        status, words = self._send(case)
        self.asked += 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        for kind, told in self._wrong(case, status, words):
            if kind in self.findings:
                self.findings[kind].times += 1
            else:
                self.findings[kind] = Finding(kind, told[:600], case)
                self._shrink(self.findings[kind])
        return status

    def _send(self, case: Case) -> tuple[int, str]:
        timeout = 1.0 if self._endless(case) else ANSWER_S
        if self._connection is None:
            host, port = str(self._address.hostname), self._address.port
            if self._context is None:
                self._connection = http.client.HTTPConnection(host, port, timeout=timeout)
            else:
                self._connection = http.client.HTTPSConnection(host, port, timeout=timeout, context=self._context)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(timeout)
        self._connection.timeout = timeout
        headers = {**self.headers, **case.headers}
        if case.body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            self._connection.request(case.method, case.target, case.content, headers)
            answer = self._connection.getresponse()
            return answer.status, answer.read(1 << 20).decode(errors="replace")
        except TimeoutError:
            self._close()
            return (200, "") if self._endless(case) else (0, f"no answer within {ANSWER_S:.0f} s")
        except (OSError, http.client.HTTPException) as error:
            self._close()
            return 0, f"{type(error).__name__}: {error}"
        finally:
            if self._endless(case):
                self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _wrong(self, case: Case, status: int, words: str) -> list[tuple[str, str]]:
        """Return the kind and the words of what is wrong: a traceback says more than the answer that comes with it."""
        if found := _traceback(self.new_log()):
            return [(found[0], f"{status}: {found[1]}")]
        if self._allowed and self._allowed in words:
            return []
        if status == 0 or (status >= 500 and status != HONEST):
            return [(f"{case.call}: {status or NOTHING}: {_plain(words)}", words)]
        if status >= 400 and PYTHON_WORDS.search(words):
            return [(f"{case.call}: {status} in Python's words: {_plain(words)}", words)]
        return []

    def new_log(self) -> str:
        """Return what the service has logged since the last call; a rotated log begins anew."""
        with self._log.open("rb") as source:
            end = source.seek(0, 2)
            source.seek(self._read if end >= self._read else 0)
            self._read = end
            return source.read(1 << 20).decode(errors="replace")

    def _shrink(self, finding: Finding) -> None:
        """Leave out of the request what isn't needed; waiting for no answer again would take too long."""
        left = 0 if f": {NOTHING}:" in finding.kind else SHRINKING_TRIES
        again = True
        while again:
            again = False
            for each in _simpler(finding.case):
                if left <= 0:
                    return
                left -= 1
                status, words = self._send(each)
                if any(kind == finding.kind for kind, _ in self._wrong(each, status, words)):
                    finding.case, again = each, True
                    break


def _simpler(case: Case) -> list[Case]:
    found = [replace(case, headers=headers) for headers in smaller(case.headers) if case.headers]
    if isinstance(case.query, dict):
        found += [replace(case, query=query) for query in smaller(case.query) if isinstance(query, dict)]
    if case.body is not None and not isinstance(case.body, bytes):
        found += [replace(case, body=body) for body in smaller(case.body)]
    return found


def _traceback(log: str) -> tuple[str, str] | None:
    """Return the kind and the end of a log's traceback, if there is one."""
    if "Traceback (most recent call last)" not in log:
        return None
    lines = [line for line in log.splitlines() if line and not line.startswith(" ")]
    raised = next((line for line in lines if re.match(r"[\w.]+(?:Error|Exception)?: ", line)), lines[-1])
    place = re.findall(r'File "[^"]*/(pdk_stack/[^"]+)", line (\d+), in (\w+)', log)
    where = f" in {place[-1][0]} {place[-1][2]}" if place else ""
    return f"traceback{where}: {_plain(raised)}", log[-1500:]


def _plain(words: str) -> str:
    """Return the first line of a message without numbers and names."""
    try:
        found = json.loads(words)
        if isinstance(found, dict):
            error = found.get("error")
            words = str(found.get("message") or (error.get("error") if isinstance(error, dict) else error) or words)
    except ValueError:
        pass
    line = next((line for line in words.splitlines() if line.strip()), "")
    return re.sub(r"0x[0-9a-f]+|[0-9a-f]{8,}|-?\d+(?:\.\d+)?|(['\"`]).*?\1", "…", line)[:160]
