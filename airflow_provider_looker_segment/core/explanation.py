"""What is known about a destination, in sentences.

A destination enters, lines of text leave; documentation and command line show the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider_looker_segment.core.catalogue import Destination
from airflow_provider_looker_segment.core.rules import Rule


def today(destination: Destination) -> str:
    """Say in a few words what is not as the page's table has it; ``≠`` marks what differs."""
    parts = []
    if destination.current:
        parts.append(f"≠ {_differing(destination, destination.current)}")
    if destination.off_by_default:
        parts.append("≠ off unless a message switches it on")
    if destination.retired:
        parts.append("retired")
    if not destination.server_identify:
        parts.append("not listed for servers")
    return "; ".join(parts)


def facts(destination: Destination) -> Iterator[str]:
    """Say everything, one sentence or a few in each line."""
    if destination.table:
        yield f"Segment's table asks for {destination.table.words()}."
    if destination.current:
        yield f"Its own documentation asks for {_differing(destination, destination.current)}."
    if destination.special_note:
        yield f"Special note: {destination.special_note}"
    for parameter in destination.parameters:
        yield f"Parameter `{parameter.name}`: {parameter.meaning}"
    yield from destination.notes
    if destination.custom_traits:
        yield destination.custom_traits
    yield _names(destination)
    if destination.off_by_default:
        yield "Segment leaves it off unless a message switches it on; choosing it does."
    if destination.retired:
        yield f"Retired: {destination.retired}"
    if destination.successor:
        yield f"Successor: {destination.successor.name} (`{destination.successor.slug}`)."
    if destination.source:
        yield f"Source: <{destination.source}>, read {destination.as_of}."


def _differing(destination: Destination, current: Rule) -> str:
    words = current.words()
    same = destination.table is not None and words == destination.table.words()
    return "the same, in other spellings of the traits too" if same else words


def _names(destination: Destination) -> str:
    if not destination.all_keys:
        return "Its name in `integrations` is not known, so it cannot be muted."
    return f"Names in `integrations`: {', '.join(f'`{key}`' for key in destination.all_keys)}."
