"""KEV, EPSS and NVD: what is read of them, and what is refused as not whole."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bot.domain.errors import BadInput, ConnectorError
from connectors.epss import EpssFile, EpssList
from connectors.epss import parse as parse_epss
from connectors.kev import KevFile, KevList
from connectors.kev import parse as parse_kev
from connectors.nvd import Nvd
from connectors.nvd import parse as parse_nvd

SHARED = Path(__file__).parents[4] / "shared" / "samples" / "threat-intel"


def kev(*cves: str, **more: Any) -> dict[str, Any]:
    entries = [{"cveID": cve, "dateAdded": "2026-08-01", "dueDate": "2026-08-04", "vulnerabilityName": f"{cve} of ours",
                "knownRansomwareCampaignUse": "Known"} for cve in cves]  # fmt: skip
    return {"title": "ours", "catalogVersion": "2026.08.02", "dateReleased": "2026-08-02T10:00:00.1234Z",
            "count": len(entries), "vulnerabilities": entries} | more  # fmt: skip


EPSS = b"#model_version:v1,score_date:2026-08-02T12:00:22Z\ncve,epss,percentile\nCVE-2026-0001,0.5,0.99\n"


def test_the_kev_feed_is_read_plain_and_packed() -> None:
    body = orjson.dumps(kev("CVE-2026-0001"))
    for each in (body, gzip.compress(body)):
        edition = parse_kev(each)
        assert edition.version == "2026.08.02"
        assert edition.as_of == datetime(2026, 8, 2, 10, 0, 0, 123400, tzinfo=UTC)
        assert edition.rows == [{"cve": "CVE-2026-0001", "added": "2026-08-01", "due": "2026-08-04",
                                 "ransomware": True, "name": "CVE-2026-0001 of ours"}]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>", "no JSON"),
        (b"[]", "no vulnerabilities"),
        (orjson.dumps(kev()), "no vulnerabilities"),
        (orjson.dumps(kev("CVE-2026-0001", count=2)), "not whole"),
        (orjson.dumps(kev("one", "two", "CVE-2026-0001")), "only 1 can be read"),
        (orjson.dumps(kev("CVE-2026-0001", dateReleased="soon")), "no date"),
        (gzip.compress(orjson.dumps(kev("CVE-2026-0001")))[:-9], "cut off"),
        (b"\x1f\x8brubbish", "broken gzip"),
    ],
)
def test_what_is_no_whole_kev_list_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_kev(body)


def test_the_epss_file_is_read_plain_and_packed() -> None:
    for each in (EPSS, gzip.compress(EPSS)):
        edition = parse_epss(each)
        assert (edition.version, edition.as_of) == ("v1", datetime(2026, 8, 2, 12, 0, 22, tzinfo=UTC))
        assert edition.rows == [{"cve": "CVE-2026-0001", "epss": 0.5, "percentile": 0.99, "content": "0.5,0.99"}]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"cve,epss,percentile\nCVE-2026-0001,0.5,0.99\n", EPSS.replace(b"epss,", b"score,"),
        EPSS.replace(b"0.5", b"5"), EPSS.replace(b"0.5", b"nan"), EPSS + b"CVE-2026-0002,x,y\n",
        EPSS.replace(b"2026-08-02T12:00:22Z", b"tomorrow--"),
    ],
)  # fmt: skip
def test_what_is_no_whole_epss_file_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        parse_epss(body)


def test_nvd_gives_its_own_newest_score() -> None:
    def metric(kind: str, score: float, vector: str) -> dict[str, Any]:
        return {"type": kind, "cvssData": {"baseScore": score, "vectorString": vector}}

    metrics = {"cvssMetricV2": [metric("Primary", 5, "AV:N")],
               "cvssMetricV31": [metric("Secondary", 9.9, "other"), metric("Primary", 8.1, "CVSS:3.1/AV")]}  # fmt: skip
    said = {"vulnerabilities": [{"cve": {"id": "CVE-2026-0001", "lastModified": "2026-08-01", "metrics": metrics}}]}
    found = parse_nvd("CVE-2026-0001", said)
    assert found is not None
    assert (found.cvss, found.vector, found.modified) == (8.1, "CVSS:3.1/AV", "2026-08-01")
    assert parse_nvd("CVE-2026-0002", said) is None
    assert parse_nvd("CVE-2026-0001", {"vulnerabilities": []}) is None
    bare = parse_nvd("CVE-2026-0001", {"vulnerabilities": [{"cve": {"id": "CVE-2026-0001"}}]})
    assert bare is not None
    assert (bare.cvss, bare.vector) == (None, "")
    with pytest.raises(BadInput):
        parse_nvd("CVE-2026-0001", {"message": "no"})


class Internet:
    """A server that plays all three; ``down`` makes the CSV fail."""

    def __init__(self) -> None:
        self.seen: list[web.Request] = []
        self.down = False

    async def kev(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        if request.headers.get("If-None-Match") == '"one"':
            return web.Response(status=304)
        return web.json_response(kev("CVE-2026-0001"), headers={"ETag": '"one"'})

    async def csv(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return web.Response(status=302 if self.down else 200, body=gzip.compress(EPSS))

    async def api(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        rows = [{"cve": cve, "epss": "0.250000000", "percentile": "0.9", "date": "2026-08-02"}
                for cve in request.query["cve"].split(",") if cve != "CVE-2026-0009"]  # fmt: skip
        return web.json_response({"status": "OK", "data": rows[: int(request.query["limit"])]})

    async def nvd(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return web.Response(status=403)


@pytest.fixture
async def internet() -> AsyncIterator[tuple[Internet, str]]:
    played = Internet()
    app = web.Application()
    app.add_routes([web.get("/kev.json", played.kev), web.get("/epss.csv.gz", played.csv),
                    web.get("/v1/epss", played.api), web.get("/cves", played.nvd)])  # fmt: skip
    server = TestServer(app)
    await server.start_server()
    yield played, str(server.make_url("")).rstrip("/")
    await server.close()


async def ours() -> list[str]:
    return ["CVE-2026-0001", "CVE-2026-0009", "GHSA-1", *(f"CVE-2026-1{n:03d}" for n in range(150))]


async def no_sleep(seconds: float) -> None:
    return None


async def test_a_list_that_did_not_change_is_not_sent_again(internet: tuple[Internet, str]) -> None:
    _, base = internet
    source = KevList(f"{base}/kev.json")
    first = await source.edition("")
    assert first is not None
    assert first.etag == '"one"'
    assert await source.edition(first.etag) is None
    await source.close()


async def test_where_the_csv_cannot_be_had_the_api_is_asked_for_our_cves(internet: tuple[Internet, str]) -> None:
    played, base = internet
    source = EpssList(f"{base}/epss.csv.gz", f"{base}/v1/epss", ours)
    whole = await source.edition("")
    assert whole is not None
    assert [row["cve"] for row in whole.rows] == ["CVE-2026-0001"]
    played.down = True
    asked = await source.edition("")
    assert asked is not None
    assert (asked.version, len(asked.rows)) == ("api", 151)
    questions = [request.query["cve"] for request in played.seen if request.path == "/v1/epss"]
    assert len(questions) == 2
    assert all(len(question) <= 2000 for question in questions)
    await source.close()


async def test_without_an_api_a_redirect_is_told(internet: tuple[Internet, str]) -> None:
    played, base = internet
    played.down = True
    source = EpssList(f"{base}/epss.csv.gz", "", ours)
    with pytest.raises(ConnectorError, match="redirect"):
        await source.edition("")
    await source.close()


async def test_nvds_403_is_a_wait(internet: tuple[Internet, str]) -> None:
    played, base = internet
    source = Nvd(f"{base}/cves", sleep=no_sleep, pace=None)
    with pytest.raises(ConnectorError, match="throttles"):
        await source.record("CVE-2026-0001")
    assert len(played.seen) == 3
    await source.close()


@pytest.mark.shared
async def test_the_real_lists_are_read_whole() -> None:
    whole = await KevFile(SHARED / "kev_full.json.gz").edition("")
    assert whole is not None
    assert (whole.version, len(whole.rows)) == ("2026.08.07", 1662)
    scores = await EpssFile(SHARED / "epss_scores-sample.csv").edition("")
    assert scores is not None
    assert len(scores.rows) == 20
