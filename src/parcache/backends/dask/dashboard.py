"""Whether a Dask scheduler has a dashboard. Its own list of services has one always: the server that would show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client


def is_shown(client: Client) -> bool:
    """Tell whether the scheduler shows its dashboard, or, where it does not let itself be asked, may do so."""
    try:
        return bool(client.run_on_scheduler(_has_pages))
    except Exception:  # it lets nobody in, or has no parcache
        return True


def _has_pages(dask_scheduler: Any) -> bool:
    application = getattr(dask_scheduler, "http_application", None)
    if application is None:
        return False
    if any("bokeh" in type(each).__name__.lower() for each in application.applications):
        return True
    rules = [rule for router in (application.default_router, application.wildcard_router) for rule in router.rules]
    # Where bokeh is missing, a page in the dashboard's place says so.
    return any(_pattern(rule).rstrip("$").endswith("/status") for rule in rules)


def _pattern(rule: Any) -> str:
    return str(getattr(getattr(rule.matcher, "regex", None), "pattern", ""))
