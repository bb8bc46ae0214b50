"""The group browser in notebooks: Jupyter, VS Code, marimo and others that show anywidget's."""

from __future__ import annotations

from typing import Any

from rayred.errors import ConfigError
from rayred.report.browser import sources
from rayred.report.browser.content import Content, pack


def widget(content: Content) -> Any:
    """Return the browser as a widget, which a notebook shows.

    Raises
    ------
    ConfigError
        anywidget is not installed.
    """
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise ConfigError(
            "showing images in a notebook needs anywidget: pip install 'rayred[notebook]'"
        ) from error
    packed = pack(content)

    class GroupBrowser(anywidget.AnyWidget):  # type: ignore[misc]
        _esm = sources.module()
        _css = sources.style()
        meta = traitlets.Dict(packed.meta).tag(sync=True)
        data = traitlets.Bytes(packed.data).tag(sync=True)
        sheets = traitlets.List(traitlets.Bytes(), list(packed.sheets)).tag(sync=True)

    return GroupBrowser()
