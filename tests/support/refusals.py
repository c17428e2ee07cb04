"""Answers of a gRPC server that are no success."""

from __future__ import annotations

import grpc


class Refusal(grpc.RpcError):  # type: ignore[misc]
    """An answer of the server that is no success."""

    def __init__(self, text: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        self.text, self.status = text, code

    def code(self) -> grpc.StatusCode:
        return self.status

    def details(self) -> str:
        return self.text
