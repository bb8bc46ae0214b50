"""Pages made of templates: one HTML file each, which fetches nothing and runs no foreign script."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from rayred import __version__
from rayred.report.browser import sources
from rayred.report.browser.content import Packed

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class _Embedded:
    """The values of the browser as text of elements."""

    meta: str
    data: str
    sheets: tuple[str, ...]

    @classmethod
    def of(cls, packed: Packed) -> _Embedded:
        # Within a script element nothing is escaped, and only "<" could end it.
        meta = json.dumps(packed.meta, separators=(",", ":")).replace("<", "\\u003c")
        return cls(meta, _base64(packed.data), tuple(map(_base64, packed.sheets)))


def render(room: str, template: str, browser: Packed | None = None, **values: Any) -> str:
    """Return a page.

    Values are escaped; the page also gets the version of rayred. Its content security policy allows
    its own style and script by their digests, pictures that are in it or in files, and nothing of
    the network.

    Parameters
    ----------
    room
        Package with the template in its folder ``templates``, such as ``rayred.report``.
    template
        Name of the template, which may extend ``base.html.j2``.
    browser
        What the group browser shows in the element ``rayred-browser``, if there is one.
    values
        What the template names.
    """
    script, style = _read("page.js"), _read("page.css")
    if browser is not None:
        script, style = f"{sources.module()}\n{script}", f"{style}\n{sources.style()}"
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(room), PackageLoader("rayred.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        version=__version__,
        script=script,
        style=style,
        policy=f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)};"
        " img-src data: blob: file:; base-uri 'none'; form-action 'none'",
        browser=None if browser is None else _Embedded.of(browser),
        **values,
    )


def _read(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
