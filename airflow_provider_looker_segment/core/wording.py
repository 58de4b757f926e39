"""What Looker and its databases say about a failure, cut down to words that are nobody's data.

Text of another side enters, the words leave that databases, proxies and Looker use for errors; for
everything else stands ``…``. What may pass is listed, for no list of how values are quoted ends.
"""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

HIDDEN = "…"
"""What stands for words that are not shown."""

_MAX_READ_CHARS = 2_000

_SMALL_WORDS = """
a about after again all already an and another any are as at be because been before being between
both but by can can't cannot contains could couldn't did didn't do does doesn't due during each
either else for found from get given has have having here if in into is isn't it its just least
less like make many match missing more most must near neither new next no none nor not of off on
once one only or other out over please same see should since so some such than that the their then
there these they this those through to too try twice under unless until up upon used using via was
wasn't were what when where which while with within without won't would you your zero
"""

_TROUBLES = """
abnormally aborted access aggregate allowed ambiguous authentication authorization authorized
available bad blocked broken cancel canceled cancelled cancelling cast casting caused changed
circular closed collision compilation complete completed conflict conflicting connect connected
connecting connection connections constraint conversion convert converted converting corrupt
corrupted crashed deadlock denied deprecated detected died disabled disallowed disconnected divide
division down dropped duplicate duplicated empty encountered ended enough error errors exceed
exceeded exceeding exceeds exception exceptions exhausted exist existing exists expected expired
failed failing fails failure fatal forbidden format gateway gone handshake illegal inaccessible
incompatible incomplete inconsistent incorrect insufficient internal interrupted invalid killed
large larger limit limited limits locked longer lost malformed maximum memory minimum mismatch
negative occurred offline old overflow overload overloaded parse parsing permission permissions
permitted positive precision privilege privileges prohibited quota range reached recognised
recognized refused rejected required requires reset resource resources restricted retry running
scale serialize server service shut shutdown shutting sign signed size slow small stopped
temporarily terminated terminating throttled time timed timeout timeouts truncated truncation
unable unauthorized unavailable undefined unexpected unfinished unhandled uninitialized unique
unknown unreachable unrecognized unresolved unsupported unterminated valid validation violated
violates violation warning wrong
"""

_THINGS = """
account address aggregation alias api argument arguments array attempt attribute bigint bigquery
binary block bool boolean broker buffer byte bytes catalog cell certificate certificates chain
char character characters clause clickhouse client cluster code coercion collation column columns
command commit concurrent condition configuration context count credentials cursor data database
databases databricks datatype date dates datetime day decimal default definition details dialect
digits dimension dimensions directory disk distinct document double driver encoding end entry
execute executed executing execution explore expression expressions external false field fields
file filesystem filter filters float foreign function functions generic group grouped grouping
having header heap host hostname hour hours html http https id identifier identifiers index input
insert int integer interval issuer item join joins json key keys keyword length level line link
list literal load loading local lock log login look looker lookml mariadb measure measures message
method microseconds milliseconds minute minutes mode model models month mysql name named names
network node nodes null nullable number numbers numeric object offset open opened operand operands
operation operator option order output owner parameter parameters parent parser partition password
path pdt pivot pivots plan planner planning point postgres postgresql presto primary procedure
process project projection protocol proxy pull queries query queue read reading real record
records redshift reference referenced references relation remote replica replication request
requested requests response result results revoked role row rows runtime schema schemas script
second seconds select selected self sequence session set shard snowflake socket sort source spark
sql sqlite sqlstate ssl stack standby start started state statement statements status storage
stream string subquery syntax system table tables tablespace target task temp temporary text
thread tls token tokens transaction transactions transform trigger trino true tuple type types
update updated url use user users utf-8 utf8 value values varchar variable verification verify
version view views volume waiting warehouse window worker write year zone
"""

_ERRORS = """
adminshutdown calciteexception cancelledexception databaseerror dataerror db
illegalargumentexception integrityerror interfaceerror internalerror invalidtextrepresentation
ioexception java jdbc lang net notsupportederror nullpointerexception operationalerror oracle org
outofmemoryerror programmingerror psqlexception querycanceled runtimeexception
snowflakesqlexception socketexception sockettimeoutexception sqldataexception sqlexception
sqlserverexception sqlsyntaxerrorexception sqltimeoutexception syntaxerror syntaxerrorexception
timeoutexception undefinedcolumn undefinedtable unsupportedoperation
"""

WORDS = frozenset(f"{_SMALL_WORDS} {_TROUBLES} {_THINGS} {_ERRORS}".split())
"""Words that may be shown. Such as are given names too, like Grant or Will, are not among them."""

_QUOTED = re.compile(
    r"""\b(?:date|entry|input|integer|key|literal|number|string|text|timestamp|value)s?:\s[^;]+"""
    r"""|\([^()]*(?:\)|$)|\{.*|\$\$.*"""
    r"""|(?<!\w)'(?:[^'\\]|\\.|'')*(?:'|\\?$)|"(?:[^"\\]|\\.|"")*(?:"|\\?$)|`[^`]*(?:`|$)"""
    r"""|[\u201c\u201e\u2018\u201a\xab\u2039]"""
    r"""[^\u201d\u2019\xbb\u203a]*(?:[\u201d\u2019\xbb\u203a]|$)""",
    re.IGNORECASE,
)
"""What holds values, whatever its words are: quotes, brackets, what follows ``value:``, SQL."""

_TAG = re.compile(r"<[^<>]*(?:>|$)")
_BARE = re.compile(r"(?i)^(?:entry|literal|string|text|value|values)$")
_AFTER_A_VALUE = frozenset(
    {"cannot", "could", "does", "exceeds", "for", "from", "in", "is", "of", "on", "too", "was"}
    | {"at", "to", "type", "violates", "with", "that", "not", "or", "and", "out", "conversion"}
)
"""What follows the word ``value`` where it is not the value itself."""

_CODE = re.compile(r"SQLSTATE\W{0,3}[0-9A-Z]{5}\b|\b(?:ORA|PLS|TNS)-\d{5}\b")
_WORD = re.compile(r"[\[*]*([A-Za-z][A-Za-z0-9'_.:-]*?)([.,:;!?]?)[\]*]*")
_BETWEEN_PARTS = re.compile(r"[-_.:]+")


def without_values(
    text: str, *, names: AbstractSet[str] = frozenset(), max_chars: int = 300
) -> str:
    """Shorten what the other side said, and hide what may be somebody's data in it.

    :param names: words that may be shown too: those of the query itself, in small letters.
    :return: known words, known kinds of codes, and :data:`HIDDEN` for everything between them;
        empty where nothing was said.

    >>> without_values("invalid input 'Ty' near ty@example.com at line 123456")
    'invalid input … near … at line …'
    """
    text = " ".join(_TAG.sub(" ", text[:_MAX_READ_CHARS]).split())
    codes = dict.fromkeys(_CODE.findall(text))
    shown: list[str] = []
    for word in _QUOTED.sub(lambda found: f" {_named(found[0], names)} ", text).split():
        known = _known(word, names)
        if shown and _BARE.match(shown[-1]) and known.casefold() not in _AFTER_A_VALUE:
            known = ""
        if known:
            shown.append(known)
        elif not shown or shown[-1] != HIDDEN:
            shown.append(HIDDEN)
    said = " ".join(shown)[:max_chars]
    return f"{said} ({', '.join(codes)})" if codes else said


def _named(quoted: str, names: AbstractSet[str]) -> str:
    """Return what is between quotes where it is a name of the query."""
    inner = quoted[1:-1]
    return inner if inner.casefold() in names else HIDDEN


def _known(word: str, names: AbstractSet[str]) -> str:
    """Return a word as it may be shown; empty where it may not."""
    found = _WORD.fullmatch(word)
    if found is None:
        return ""
    core, stop = found.groups()
    small = core.casefold()
    if small in WORDS or small in names or WORDS.issuperset(_BETWEEN_PARTS.split(small)):
        return core + stop
    return ""
