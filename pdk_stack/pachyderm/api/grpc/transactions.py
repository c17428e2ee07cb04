"""Pachyderm's transactions: the server collects requests, tries them out, and finally applies all of them at once.

A call with a transaction ID in its metadata is appended to the transaction and tried out, together with the earlier
calls, in a change that is rolled back. All commits of a transaction share the transaction's ID.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial, wraps
from typing import Any, TypeVar

from python_pachyderm.proto.v2.pfs import pfs_pb2
from python_pachyderm.proto.v2.transaction import transaction_pb2

from pdk_stack.pachyderm.api.grpc import pfs_convert
from pdk_stack.pachyderm.api.grpc.dispatch import Call
from pdk_stack.pachyderm.core.engine import Engine
from pdk_stack.pachyderm.core.pfs.change import Change
from pdk_stack.pachyderm.core.pfs.types import RepoKey
from pdk_stack.pachyderm.errors import Fault, NotFound, wrapped
from pdk_stack.pachyderm.names import new_id
from pdk_stack.pachyderm.store.clock import now_ns

# In the order in which the server looks for the one that a request asks for.
_OPERATIONS = (
    "create_repo",
    "delete_repo",
    "start_commit",
    "finish_commit",
    "squash_commit_set",
    "create_branch",
    "delete_branch",
    "update_job_state",
    "stop_job",
    "create_pipeline",
)
Operation = Callable[[Change, Any], Any]
T = TypeVar("T")


class _TakeBack(Exception):
    """Rolls back a trial change."""


def transactional(
    field: str, writes: Callable[[Any], RepoKey] | None = None
) -> Callable[[Callable[[Any, Change, Any], Any]], Callable[[Any, Any, Call], Any]]:
    """Wrap a method that runs inside a change as a call: run it at once, or append it to the client's transaction.

    Args:
        field: The call's field in ``TransactionRequest``.
        writes: Returns the repo that a request writes to, for calls that a pipeline's code may make.
    """

    def decorate(method: Callable[[Any, Change, Any], Any]) -> Callable[[Any, Any, Call], Any]:
        @wraps(method)
        def begin(self: Any, request: Any, call: Call) -> Any:
            if writes is not None:
                call.may_write(writes(request))
            return self.transactions.run(call, field, request)

        vars(begin)["field"] = field
        return begin

    return decorate


class Transactions:
    """Runs operations at once or as part of their client's transaction.

    Args:
        engine: The store.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.operations: dict[str, Operation] = {}

    def register(self, owner: object) -> None:
        """Register an object's methods decorated with :func:`transactional`."""
        for method in map(partial(getattr, type(owner)), dir(type(owner))):
            if hasattr(method, "field"):
                self.operations[method.field] = partial(method.__wrapped__, owner)

    def try_out(self, work: Callable[[Change], T], set_id: str = "") -> T:
        """Run a function in a change that is rolled back; return its result or raise its error."""
        found: list[T] = []
        with suppress(_TakeBack), self.engine.change(set_id) as change:
            found.append(work(change))
            self.engine.settle(change)
            raise _TakeBack
        return found[0]

    def run(self, call: Call, name: str, request: Any) -> Any:
        """Run an operation, or append it to the call's transaction.

        Args:
            call: The call.
            name: The operation's field in ``TransactionRequest``.
            request: Its request.

        Raises:
            NotFound: The call names a transaction that doesn't exist.
        """
        if not call.transaction:
            with self.engine.change() as change:
                return self.operations[name](change, request)
        info = self._load(call.transaction)
        info.requests.add(**{name: request})
        responses = self.try_out(lambda change: self._perform(change, info), info.transaction.id)
        _answer(info, responses)
        info.version += 1
        with self.engine.database.write() as connection:
            cursor = connection.execute(
                "UPDATE transactions SET requests = ? WHERE id = ?",
                (info.SerializeToString(), call.transaction),
            )
            if cursor.rowcount != 1:
                raise NotFound(f"transactions {call.transaction} not found")
        return responses[-1]

    def _load(self, transaction_id: str) -> transaction_pb2.TransactionInfo:
        with self.engine.read() as connection:
            row = connection.execute("SELECT requests FROM transactions WHERE id = ?", (transaction_id,)).fetchone()
        if row is None:
            raise NotFound(f"transactions {transaction_id} not found")
        return transaction_pb2.TransactionInfo.FromString(bytes(row[0]))

    def _perform(self, change: Change, info: transaction_pb2.TransactionInfo) -> list[Any]:
        responses = []
        for number, request in enumerate(info.requests, 1):
            with wrapped(f"error running request {number} of {len(info.requests)}"):
                # A request is one operation; as on a cluster, further ones in it are ignored.
                name = next((each for each in _OPERATIONS if request.HasField(each)), None)
                if name is None:
                    raise Fault("unrecognized transaction request type")
                responses.append(self.operations[name](change, getattr(request, name)))
        return responses

    def _do(self, info: transaction_pb2.TransactionInfo, forget: bool) -> transaction_pb2.TransactionInfo:
        with self.engine.change(info.transaction.id) as change:
            responses = self._perform(change, info)
            if forget:
                change.connection.execute("DELETE FROM transactions WHERE id = ?", (info.transaction.id,))
        _answer(info, responses)
        return info


def _answer(info: transaction_pb2.TransactionInfo, responses: list[Any]) -> None:
    """Put the results of all requests into a transaction's responses."""
    del info.responses[:]
    for each in responses:
        answer = info.responses.add()
        if isinstance(each, pfs_pb2.Commit):
            answer.commit.CopyFrom(each)


class TransactionCalls:
    """The transaction service.

    Args:
        transactions: Runs the operations.
    """

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions

    @property
    def _engine(self) -> Engine:
        return self._transactions.engine

    def StartTransaction(
        self, request: transaction_pb2.StartTransactionRequest, call: Call
    ) -> transaction_pb2.Transaction:
        started = now_ns()
        info = transaction_pb2.TransactionInfo(
            transaction=transaction_pb2.Transaction(id=new_id()), started=pfs_convert.stamp(started)
        )
        with self._engine.database.write() as connection:
            connection.execute(
                "INSERT INTO transactions VALUES (?, ?, ?)",
                (info.transaction.id, info.SerializeToString(), started),
            )
        return info.transaction

    def InspectTransaction(
        self, request: transaction_pb2.InspectTransactionRequest, call: Call
    ) -> transaction_pb2.TransactionInfo:
        return self._transactions._load(request.transaction.id)

    def ListTransaction(
        self, request: transaction_pb2.ListTransactionRequest, call: Call
    ) -> transaction_pb2.TransactionInfos:
        with self._engine.read() as connection:
            rows = connection.execute("SELECT requests FROM transactions ORDER BY started").fetchall()
        infos = [transaction_pb2.TransactionInfo.FromString(bytes(row[0])) for row in rows]
        return transaction_pb2.TransactionInfos(transaction_info=infos)

    def FinishTransaction(
        self, request: transaction_pb2.FinishTransactionRequest, call: Call
    ) -> transaction_pb2.TransactionInfo:
        return self._transactions._do(self._transactions._load(request.transaction.id), forget=True)

    def BatchTransaction(
        self, request: transaction_pb2.BatchTransactionRequest, call: Call
    ) -> transaction_pb2.TransactionInfo:
        info = transaction_pb2.TransactionInfo(
            transaction=transaction_pb2.Transaction(id=new_id()),
            requests=request.requests,
            started=pfs_convert.stamp(now_ns()),
        )
        for each in info.requests:
            # Release 2.8 has another field for it, so the server doesn't know this one.
            each.ClearField("create_pipeline")
        return self._transactions._do(info, forget=False)

    def DeleteTransaction(self, request: transaction_pb2.DeleteTransactionRequest, call: Call) -> None:
        with self._engine.database.write() as connection:
            cursor = connection.execute("DELETE FROM transactions WHERE id = ?", (request.transaction.id,))
            if cursor.rowcount != 1:
                raise NotFound(f"transactions {request.transaction.id} not found")

    def DeleteAll(self, request: transaction_pb2.DeleteAllRequest, call: Call) -> None:
        with self._engine.database.write() as connection:
            connection.execute("DELETE FROM transactions")
