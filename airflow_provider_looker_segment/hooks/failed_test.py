"""What the button "Test Connection" says of a connection that failed.

An error enters, its words leave as whoever fills in the form needs them: Airflow tests under an id
that it makes up, nothing was about to be sent, and what is out of reach may be out of reach
because of the form.
"""

from __future__ import annotations

from airflow_provider_looker_segment.exceptions import LookerSegmentError, TransientError

_OUT_OF_REACH = (
    "Check the URL, its port, http or https, and the CA bundle, and whether Airflow's API server "
    "may reach it; if all of that is right, test again later."
)


def failure(error: LookerSegmentError, conn_id: str) -> str:
    """Return what to show.

    :param conn_id: under which the connection was tested.
    """
    do = _OUT_OF_REACH if isinstance(error, TransientError) else error.do
    words = str(type(error)(error.where, should=error.should, but=error.but, do=do))
    return (
        words.removesuffix(f" (connection {conn_id!r})")
        .replace(f"Connection {conn_id!r}", "This connection")
        .replace(f"connection {conn_id!r}", "this connection")
    )
