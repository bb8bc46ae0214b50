"""Pages made of templates."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rayred import __version__


def render(room: str, template: str, **values: Any) -> str:
    """Return a page: a template in the folder ``templates`` of a room, such as ``rayred.report``.

    Values are escaped; the page also gets the version of rayred.
    """
    environment = Environment(
        loader=PackageLoader(room, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **values)
