"""What stands in a page that the package wrote."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import Any


def content_of(page: str) -> Any:
    """What the page's script reads, as strictly as a browser reads it."""
    packed = re.search(r'id="content">([^<]*)<', page)
    assert packed

    def refuse(constant: str) -> None:
        raise AssertionError(f"no browser reads {constant}")

    return json.loads(gzip.decompress(base64.b64decode(packed[1])), parse_constant=refuse)
