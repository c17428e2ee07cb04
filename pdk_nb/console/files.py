"""Files of commits: downloads, and small copies of pictures."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING
from urllib.parse import quote

from PIL import Image
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from pdk_nb import photos
from pdk_nb.platforms import mldm
from pdk_shared.errors import PdkError

if TYPE_CHECKING:
    from pdk_nb.session import Session

__all__ = ["Files"]

#: Longer side of a small copy, in pixels.
SIDE = 160
#: Largest file that the console reads into memory, in bytes.
LARGEST = 64_000_000


class Files:
    """The files of a session's commits.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def download(self, request: Request) -> Response:
        """A file as it is. It's never shown as a page of the console: it may be anybody's HTML."""
        try:
            path, content = self._read(request)
        except PdkError as error:
            return PlainTextResponse(f"{error}\n", 404)
        name = quote(path.rpartition("/")[2])
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
        return Response(content, media_type="application/octet-stream", headers=headers)

    def thumbnail(self, request: Request) -> Response:
        """A small copy of a picture."""
        try:
            _, content = self._read(request)
            picture = photos.load_image(content)
        except PdkError as error:
            return PlainTextResponse(f"{error}\n", 404)
        picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR)
        small = io.BytesIO()
        picture.save(small, "JPEG", quality=80)
        # A commit's files never change.
        return Response(small.getvalue(), media_type="image/jpeg", headers={"Cache-Control": "private, max-age=3600"})

    def _read(self, request: Request) -> tuple[str, bytes]:
        given = request.path_params
        commit = mldm.commit_of(given["project"], given["repo"], id=given["commit"])
        path = "/" + request.query_params.get("path", "").strip("/")
        found = mldm.file_size(self._session.pachyderm, commit, path)
        if found > LARGEST:
            raise PdkError(
                f"The file has {found} bytes; the console passes on at most {LARGEST}.",
                where=path,
                fix=f"pachctl get file {given['repo']}@{given['commit']}:{path} --project {given['project']} -o <file>",
            )
        return path, mldm.read_file(self._session.pachyderm, commit, path)
