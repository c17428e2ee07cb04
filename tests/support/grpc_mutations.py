"""``python -m tests.support.grpc_mutations``: send mutated messages to every implemented gRPC call of Pachyderm.

Messages are filled from their descriptors, with names that exist and values that don't fit; some are damaged on the
wire, too. A run is bounded, and its messages come from a seed. What it calls wrong: a call that ends with UNKNOWN or
INTERNAL and words of Python or of the embedded Pachyderm's own fault, a traceback in the log, a service that dies, and
one that holds more and more.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import python_pachyderm
from google.protobuf import descriptor_pb2, symbol_database
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from pdk_stack.pachyderm.api.grpc.later_messages import MESSAGES
from pdk_stack.pachyderm.api.grpc.later_releases import CALLS
from pdk_stack.pachyderm.api.grpc.server import PfsCalls, PpsCalls, service_table
from pdk_stack.pachyderm.api.grpc.transactions import Transactions
from pdk_stack.pachyderm.coverage import REFUSED, calls
from tests.support.processes import ServiceProcess
from tests.support.vitals import Vitals, vitals

COUNT, SEED = 4000, 1
# Long enough for an answer, short enough for calls that wait for something.
ANSWER_S = 2.0
WAITING_S = 0.15
# After so many calls, what they removed is made again, and the pipelines that they made go.
SCENE_EVERY = 250
DEPTH = 3
NAMED_RIGHTLY = 0.6
#: What may come in the second half of a run: what is found for the first time, and what the allocator keeps.
ALLOWED = Vitals(descriptors=12, threads=16, megabytes=48.0)
_WRONG = re.compile(
    r"Traceback|\b\w+(?:Error|Exception)\b: |object has no attribute|NoneType|<class |sqlite|Exception (?:calling|des)"
    r"|failed in the embedded Pachyderm"
)
# Values of integers: small ones, limits of 32 and 64 bits, and the numbers around them.
_INTEGERS = (0, 1, 2, 3, -1, 7, 600, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1)
_TEXTS = (
    *(
        "",
        "data",
        "master",
        "default",
        "user",
        "meta",
        "spec",
        "a",
        "/",
        "/a",
        "/d/b",
        "/*",
        "/**",
        "/[",
        "/!(a)b",
        "/{a",
    ),
    *("no", "..", "../../etc", "a b", "é\u0000\n", "x" * 300, "^", "master^", "0" * 12 + "4" + "0" * 19, "-1", "1Gi"),
    *("__filesets__", "copy", '{"a":', '"\\ud800"', '{"pipeline":{"name":"\\ud800"}}', "[" * 500, "@daily", "9" * 5000),
)
# Nothing that leads out of this machine, or that runs for long.
_TEXTS_OF = {
    "URL": ("", "nothing://x/y", "http://127.0.0.1:1/x", "x", "file:///etc/hostname", "http://[", "s3://"),
    "url": ("", "nothing://x/y", "x", "file:///etc/hostname", "s3://"),
    "cmd": ("true",),
    "err_cmd": ("true",),
    "image": ("no-such-image",),
}
# Such a pipeline runs until it is deleted.
_LEFT_EMPTY = frozenset({"spout", "service", "git"})


@dataclass(frozen=True)
class Method:
    """A call.

    Attributes:
        path: Its path, such as ``/pfs_v2.API/ListRepo``.
        request: The class of its messages.
        many_in: Whether the client sends a stream.
        many_out: Whether the server sends a stream.
    """

    path: str
    request: type[Message]
    many_in: bool
    many_out: bool


@dataclass(frozen=True)
class Case:
    """A call with its messages as they are sent."""

    method: Method
    messages: tuple[bytes, ...]

    def __str__(self) -> str:
        return f"{self.method.path} {[each.hex() for each in self.messages]}"


def methods() -> list[Method]:
    """List the calls that the server doesn't refuse by name, from the tables that it is built from."""
    wanted = {(service, name) for service, name, state, _ in calls() if state != REFUSED}
    found = []
    pfs, pps = PfsCalls.__new__(PfsCalls), PpsCalls.__new__(PpsCalls)
    for service, _, _ in service_table(pfs, pps, Transactions.__new__(Transactions), None, ""):
        proto = descriptor_pb2.ServiceDescriptorProto()
        service.CopyToProto(proto)
        for method, raw in zip(service.methods, proto.method, strict=True):
            if (service.full_name, method.name) in wanted:
                request = symbol_database.Default().GetPrototype(method.input_type)
                path = f"/{service.full_name}/{method.name}"
                found.append(Method(path, request, raw.client_streaming, raw.server_streaming))
    later = [(service, name, kinds[0]) for service, names in CALLS.items() for name, kinds in names.items()]
    return found + [Method(f"/{service}/{name}", MESSAGES[kind], False, False) for service, name, kind in later]


def cases(chance: random.Random, known: tuple[str, ...] = ()) -> Iterator[Case]:
    """Yield mutated calls without end, each call as often as every other.

    Args:
        chance: Decides.
        known: IDs of commits that exist.
    """
    every = methods()
    maker = _Maker(chance, known)
    while True:
        for method in chance.sample(every, len(every)):
            number = chance.choice((0, 1, 1, 2, 3)) if method.many_in else 1
            messages = [maker.message(method.request).SerializeToString() for _ in range(number)]
            if method.many_in and number and chance.random() < 0.8:
                messages[0] = maker.opening(method.request)
            yield Case(method, tuple(_damaged(chance, each) if chance.random() < 0.25 else each for each in messages))


class _Maker:
    """Fills messages.

    Args:
        chance: Decides.
        known: IDs that exist.
    """

    def __init__(self, chance: random.Random, known: tuple[str, ...]) -> None:
        self._chance = chance
        self._ids = known or ("",)
        self._texts = (*_TEXTS, *known)

    def opening(self, kind: type[Message]) -> bytes:
        """Return the first message of a stream of file modifications, mostly for a commit that can be written to."""
        message: Any = kind()
        target = message.set_commit
        if self._chance.random() < 0.7:
            target.repo.name, target.repo.type = "data", "user"
            target.branch.repo.CopyFrom(target.repo)
            target.branch.name = "fuzz"
        else:
            self._fill(target, DEPTH)
        return bytes(message.SerializeToString())

    def message(self, kind: type[Message]) -> Message:
        """Return a message with some of its fields set."""
        found = kind()
        self._fill(found, 0)
        return found

    def _fill(self, message: Any, depth: int) -> None:
        if self._chance.random() < NAMED_RIGHTLY and self._name_rightly(message):
            return
        share = self._chance.choice((0.2, 0.5, 0.9)) / (1 + 0.6 * depth)
        for field in message.DESCRIPTOR.fields:
            if field.name not in _LEFT_EMPTY and self._chance.random() < share:
                self._set(message, field, depth)

    def _name_rightly(self, message: Any) -> bool:
        """Name something that exists, where a message is a name."""
        kind = message.DESCRIPTOR.full_name
        if kind == "pfs_v2.Repo":
            message.name, message.type = "data", "user"
        elif kind == "pfs_v2.Branch":
            self._name_rightly(message.repo)
            message.name = self._chance.choice(("master", "master", "fuzz"))
        elif kind == "pfs_v2.Commit":
            self._name_rightly(message.branch)
            message.repo.CopyFrom(message.branch.repo)
            if self._chance.random() < 0.4:
                message.branch.name = ""
                message.id = self._chance.choice(self._ids)
        elif kind == "pfs_v2.File":
            self._name_rightly(message.commit)
            message.path = self._chance.choice(("/", "/a", "/d", "/d/", "/d/b", "/*", "/no"))
        elif kind == "pps_v2.Pipeline":
            message.name = "copy"
        else:
            return False
        return True

    def _set(self, message: Any, field: FieldDescriptor, depth: int) -> None:
        chance = self._chance
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            return
        if field.label == FieldDescriptor.LABEL_REPEATED:
            for _ in range(chance.choice((1, 1, 2))):
                if field.message_type is None:
                    getattr(message, field.name).append(self._scalar(field))
                elif depth < DEPTH:
                    self._fill(getattr(message, field.name).add(), depth + 1)
        elif field.message_type is None:
            setattr(message, field.name, self._scalar(field))
        else:
            inner = getattr(message, field.name)
            inner.SetInParent()
            if depth < DEPTH and chance.random() < 0.9:
                self._fill(inner, depth + 1)

    def _scalar(self, field: FieldDescriptor) -> Any:
        chance, kind = self._chance, field.cpp_type
        if field.type == FieldDescriptor.TYPE_BYTES:
            return chance.choice((b"", b"x", b"\xff\x00", b"y" * 1000))
        if kind == FieldDescriptor.CPPTYPE_STRING:
            return chance.choice(_TEXTS_OF.get(field.name, self._texts))
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        if kind == FieldDescriptor.CPPTYPE_ENUM:
            return chance.choice([each.number for each in field.enum_type.values])
        if kind in (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT):
            return chance.choice((0.0, 0.5, -1.0, 1e38, float("nan"), float("inf")))
        low, high = {
            FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
            FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
            FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
            FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
        }[kind]
        return chance.choice([each for each in _INTEGERS if low <= each <= high])


def _damaged(chance: random.Random, data: bytes) -> bytes:
    """Return a message with a wire format that no client writes."""
    at = chance.randrange(len(data) + 1)
    kind = chance.randrange(7)
    if kind == 0 and data:
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        return bytes(changed)
    if kind == 1:
        return data[:at]
    if kind == 2:
        return data[:at] + bytes(chance.randrange(256) for _ in range(4)) + data[at:]
    if kind == 3:
        # An unknown field, an enum value that doesn't exist, and a number of 70 bits for a field that holds fewer.
        field = chance.randrange(1, 16) << 3
        return data + bytes([field]) + b"\xff" * 9 + b"\x01"
    if kind == 4:
        # A text that is no UTF-8: a surrogate.
        return data + bytes([chance.randrange(1, 16) << 3 | 2, 3]) + b"\xed\xa0\x80"
    if kind == 5:
        nested = b""
        for _ in range(chance.choice((10, 200))):
            nested = bytes([chance.randrange(1, 16) << 3 | 2]) + _length(len(nested)) + nested
        return data + nested
    return data + data


def _length(number: int) -> bytes:
    found = bytearray()
    while number >= 0x80:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def ask(channel: grpc.Channel, case: Case) -> tuple[str, str]:
    """Send a case; return the code and the words that it ended with."""
    kind = f"{'stream' if case.method.many_in else 'unary'}_{'stream' if case.method.many_out else 'unary'}"
    call = getattr(channel, kind)(case.method.path, request_serializer=None, response_deserializer=None)
    waits = case.method.many_out or "Inspect" in case.method.path
    content = iter(case.messages) if case.method.many_in else case.messages[0]
    try:
        found = call(content, timeout=WAITING_S if waits else ANSWER_S)
        if case.method.many_out:
            for _ in found:
                pass
    except grpc.RpcError as error:
        return error.code().name, str(error.details())
    return "OK", ""


def wrong(code: str, words: str) -> bool:
    """Whether a call ended as none may."""
    return code in ("UNKNOWN", "INTERNAL", "INVALID_ARGUMENT") and bool(_WRONG.search(words))


def make_scene(address: str) -> tuple[str, ...]:
    """Make what the calls name, where it is gone; return IDs that exist."""
    host, _, port = address.partition(":")
    client = python_pachyderm.Client(host, int(port))
    for each in reversed(list(client.list_pipeline())):
        name, project = each.pipeline.name, each.pipeline.project.name
        with contextlib.suppress(grpc.RpcError):
            # A pipeline whose output branch was deleted can't be deleted before it exists again.
            client.create_branch(name, "master", project_name=project)
        client.delete_pipeline(name, force=True, project_name=project)
    with contextlib.suppress(grpc.RpcError):
        client.delete_repo("copy", force=True)
    names = {each.repo.name for each in client.list_repo()}
    if "data" not in names:
        client.create_repo("data")
    # It is never run: there is no such image.
    client.create_pipeline(
        "copy",
        python_pachyderm.service.pps_proto.Transform(image="no-such-image", cmd=["true"]),
        input=python_pachyderm.service.pps_proto.Input(
            pfs=python_pachyderm.service.pps_proto.PFSInput(repo="data", glob="/*")
        ),
    )
    with client.modify_file_client(("data", "master")) as modify:
        modify.put_file_from_bytes("/a", b"a")
        modify.put_file_from_bytes("/d/b", b"b")
    commit = next(client.inspect_commit(("data", "master"))).commit.id
    return (commit, f"{commit}^")


def run(folder: Path, count: int = COUNT, seed: int = SEED) -> list[str]:
    """Send mutated calls to a Pachyderm of its own; print the codes, and return what is wrong.

    Args:
        folder: Folder for its state and its log.
        count: The number of calls.
        seed: What the calls come from.
    """
    chance = random.Random(seed)
    pachd = ServiceProcess("pachyderm", folder, {"root_token": ""}).start()
    codes: Counter[str] = Counter()
    found: dict[str, str] = {}
    before = None
    try:
        address = pachd.ready["pachd"].split("//")[-1]
        made = cases(chance, make_scene(address))
        with grpc.insecure_channel(address) as channel:
            for number in range(count):
                if number and number % SCENE_EVERY == 0:
                    make_scene(address)
                if number == count // 2:
                    before = vitals(pachd.pid)
                case = next(made)
                code, words = ask(channel, case)
                codes[code] += 1
                if wrong(code, words):
                    found.setdefault(f"{case.method.path} ended with {code}: {words[:200]}", str(case))
                if not pachd.alive:
                    found["the service has died"] = str(case)
                    break
        if before is not None and pachd.alive:
            grown = vitals(pachd.pid) - before
            found |= {f"{words} more in the second half": "" for words in grown.above(ALLOWED)}
    finally:
        pachd.stop()
    log = pachd.log.read_text(errors="replace")
    if "Traceback" in log:
        found["a traceback in the log"] = log[log.index("Traceback") - 200 :][:3000]
    ends = ", ".join(f"{times} x {code}" for code, times in codes.most_common())
    print(f"pachyderm: {count} calls, seed {seed}: {ends}")
    for kind, shown in found.items():
        print(f"  {kind}\n      {shown[:1500]}")
    return list(found)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.grpc_mutations", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--count", type=int, default=COUNT, help="number of calls (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="what the calls come from (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for state and log; a temporary one by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pdk-fuzz-") as scratch:
        return 1 if run(options.out or Path(scratch), options.count, options.seed) else 0


if __name__ == "__main__":
    sys.exit(main())
