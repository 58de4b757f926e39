"""Which destinations can take a message, and how the others are kept from it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_looker_segment.core.catalogue import example, load_catalogue
from airflow_provider_looker_segment.core.destinations import (
    Finding,
    Requirements,
    Unmet,
    Verdict,
)
from airflow_provider_looker_segment.exceptions import PermanentError

SLUGS = [one.slug for one in load_catalogue().destinations]
EMAIL = {"traits": {"email": "e@example.com"}}
PARAMETERS = {
    "woopra_cookie": "woo",
    "pardot_lookup_field": "crm id",
    "slack_listed_traits": ["plan"],
}


def test_equal_messages_share_one_outcome() -> None:
    """Rows that differ in values only are validated once."""
    requirements = Requirements(["zendesk"])

    first, second, other = (
        requirements.check({"traits": {"email": email, "name": "n"}})
        for email in ("a@b", "c@d", "")
    )

    assert first is second
    assert first is not other


def test_a_finding_names_codes_and_paths_but_no_value() -> None:
    """Reasons say what lacks, in codes and paths, once for all spellings of a trait."""
    outcome = Requirements(["zendesk", "braze"]).check({"traits": {"email": "secret@example.com"}})

    assert outcome.findings == (
        Finding(
            "zendesk",
            Verdict.UNMET,
            ("needs_name_or_first_name_and_last_name",),
            ("traits.name", "traits.firstName", "traits.lastName"),
        ),
        Finding("braze", Verdict.UNMET, ("needs_user_id",), ("userId",)),
    )
    assert "secret" not in repr(outcome)


@pytest.mark.parametrize(
    ("destination", "message", "expected", "reasons"),
    [
        ("iterable", {"userId": "u"}, Verdict.DOUBTFUL, ("needs_email",)),
        ("iterable", {}, Verdict.UNMET, ("needs_user_id_or_email",)),
        ("wigzo", EMAIL, Verdict.DOUBTFUL, ("needs_user_id",)),
        ("customer.io", {}, Verdict.UNMET, ("needs_user_id_or_email",)),
        (
            "amplitude",
            {"userId": "1234"},
            Verdict.DOUBTFUL,
            ("needs_user_id_of_5_characters_or_anonymous_id",),
        ),
        ("hubspot", {"userId": "e@example.com"}, Verdict.DOUBTFUL, ("needs_email",)),
        ("hubspot", EMAIL, Verdict.MET, ()),
    ],
)
def test_a_reason_is_the_least_that_lacks(
    destination: str, message: dict[str, Any], expected: Verdict, reasons: tuple[str, ...]
) -> None:
    """Where both rules refuse, the reason is the one that is easier to mend."""
    (finding,) = Requirements([destination]).check(message).findings

    assert (finding.verdict, finding.reasons) == (expected, reasons)


@pytest.mark.parametrize(
    ("unmet", "accepted", "integrations"),
    [("mute", True, {"Zendesk": False}), ("reject", False, None), ("warn", True, None)],
)
def test_unmet_chooses_what_follows(
    unmet: Unmet, accepted: bool, integrations: dict[str, Any] | None
) -> None:
    """A message one destination cannot take is muted there, rejected, or sent as it is."""
    requirements = Requirements(["zendesk", "braze"], unmet=unmet)

    outcome = requirements.check({"userId": "u", "traits": {}})

    assert outcome.slugs(Verdict.UNMET) == ("zendesk",)
    assert (outcome.accepted, requirements.integrations(outcome)) == (accepted, integrations)


def test_muting_names_every_key() -> None:
    """A muted destination is off under its classic names and its successors'."""
    requirements = Requirements(["braze"])

    actual = requirements.integrations(requirements.check(EMAIL))

    assert actual == {"Appboy": False, "Braze": False, "Braze Cloud Mode (Actions)": False}


def test_a_doubtful_destination_is_not_muted() -> None:
    """What one rule accepts is sent."""
    requirements = Requirements(["iterable"])

    assert requirements.integrations(requirements.check({"userId": "u", "traits": {}})) is None


def test_a_destination_without_a_key_is_reported() -> None:
    """A destination that cannot be muted is named, and nothing else is switched for it."""
    requirements = Requirements(["aboardly"])

    outcome = requirements.check({"anonymousId": "a"})

    assert (outcome.unmutable, requirements.integrations(outcome)) == (("aboardly",), None)


def test_what_is_off_by_default_is_switched_on() -> None:
    """Salesforce gets what was meant for it, and stays off where it cannot take the message."""
    requirements = Requirements(["salesforce"])

    actual = [
        requirements.integrations(requirements.check(one)) for one in (EMAIL, {"userId": "u"})
    ]

    assert actual == [
        {"Salesforce": True},
        {"Salesforce": False, "Salesforce (Actions)": False},
    ]


def test_only_switches_everybody_else_off() -> None:
    """With ``only`` the named destinations are on, unless muted, and all others off."""
    requirements = Requirements(["zendesk", "klaviyo"], only=True)

    actual = requirements.integrations(requirements.check(EMAIL))

    assert actual == {"All": False, "Klaviyo": True, "Klaviyo (Actions)": True, "Zendesk": False}


@pytest.mark.parametrize("destinations", [["aboardly"], []])
def test_only_refuses_what_would_reach_nobody(destinations: list[str]) -> None:
    """``only`` without a name to switch on would send every row to nobody."""
    with pytest.raises(PermanentError):
        Requirements(destinations, only=True)


def test_a_destination_asked_for_twice_counts_once() -> None:
    """Two names of one destination give one finding."""
    assert [one.slug for one in Requirements(["appboy", "Braze"]).destinations] == ["braze"]


def test_a_name_in_quotes_is_switched_alone() -> None:
    """Muting one exact name leaves the other names of the destination alone."""
    requirements = Requirements(['"HubSpot Cloud Mode (Actions)"', '"our own Function"'])

    outcome = requirements.check({"userId": "u", "traits": {}})

    assert requirements.integrations(outcome) == {"HubSpot Cloud Mode (Actions)": False}
    assert outcome.slugs(Verdict.MET) == ("our own Function",)


def test_no_destinations_mean_no_object() -> None:
    """Without destinations a message is as it would be without this module."""
    requirements = Requirements([])

    outcome = requirements.check(EMAIL)

    assert (outcome.accepted, requirements.integrations(outcome, EMAIL)) == (True, None)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"traits": {"woo": "c"}}, {"Woopra": {"cookie": "c"}}),
        ({"traits": {"woo": 7}}, {"Woopra": {"cookie": "7"}}),
        ({"userId": "u", "traits": {"woo": ""}}, None),
        ({"traits": {}}, {"Woopra": False}),
        ({"userId": "u", "traits": {}, "integrations": {"Braze": False}}, {"Braze": False}),
        (
            {"traits": {"woo": "c"}, "integrations": {"Woopra": {"cookie": "own", "x": 1}}},
            {"Woopra": {"cookie": "own", "x": 1}},
        ),
        ({"traits": {}, "integrations": {"Woopra": {"x": 1}}}, {"Woopra": False}),
    ],
)
def test_options_of_a_message_are_kept_and_filled(
    message: dict[str, Any], expected: dict[str, Any] | None
) -> None:
    """A parameter's trait fills its option; a message's own option wins; muting beats both."""
    requirements = Requirements(["woopra"], parameters={"woopra_cookie": "woo"})

    assert requirements.integrations(requirements.check(message), message) == expected


def test_options_of_a_message_do_not_widen_only() -> None:
    """With ``only`` an option for an unnamed destination does not switch it on."""
    message = {"userId": "u", "traits": {}, "integrations": {"Braze": {"x": 1}, "Vero": {"y": 2}}}
    requirements = Requirements(["vero"], only=True)

    actual = requirements.integrations(requirements.check(message), message)

    assert actual == {"All": False, "Vero": {"y": 2}}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"unmet": "drop"}, "unmet should be one of 'mute', 'reject', 'warn'"),
        ({"rules": "newest"}, "destination_rules should be one of"),
        ({"parameters": {"pardot_lookup": "x"}}, "nearest name is `pardot_lookup_field`"),
        ({"parameters": {"東京": "x"}}, "Leave it out"),
    ],
)
def test_unknown_options_are_refused(options: dict[str, Any], named: str) -> None:
    """A misspelt option never falls back to a default."""
    with pytest.raises(PermanentError, match=named):
        Requirements(["pardot"], **options)


def test_warnings_say_what_no_rule_can_check() -> None:
    """Retired, unlisted and unmutable destinations are named, and traits to be mapped first."""
    requirements = Requirements(["marketo", "klaviyo", "onesignal", "aboardly", "braze"])

    actual = requirements.warnings(["email", "churn risk"])

    assert [sentence.split(".")[0] for sentence in actual] == [
        "Marketo V2 gets `churn risk`",
        "Klaviyo is not listed as taking identify calls from servers",
        "OneSignal is retired",
        "Aboardly is retired",
        "Aboardly cannot be muted: its name in `integrations` is not known",
    ]


def test_standard_traits_need_no_mapping() -> None:
    """A Look that sends standard traits only is not warned about custom ones."""
    assert Requirements(["marketo-v2"]).warnings(["email", "firstName"]) == []


@pytest.mark.parametrize("slug", SLUGS)
def test_an_example_is_met(slug: str) -> None:
    """The example of a destination is met by both rules, with parameters too."""
    message = example(load_catalogue().find(slug), PARAMETERS)

    (finding,) = Requirements([slug], parameters=PARAMETERS).check(message).findings

    assert finding == Finding(slug, Verdict.MET)
