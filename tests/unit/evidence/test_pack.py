"""Evidence packs: verified by a lone Python process; not one byte of them can be changed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from bot.cli.main import app
from bot.domain.errors import BadInput, GatehouseError, NotFound
from bot.evidence import pack, verifier
from bot.evidence.checkpoints import parse
from bot.store import ledger
from tests.unit.cli.test_main import ocsf, write

from .conftest import RECORDS, START, World, both_databases, forge, rehash, rows

runner = CliRunner()


def build(world: World, question: pack.Question, **more: Any) -> dict[str, Any]:
    origin = world.settings.evidence.origin
    return world.db.read_sync(pack.build, question, origin=origin, now=world.clock.now(), **more)


def lone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The verifier as an auditor runs it: isolated, in an empty folder, without our packages."""
    command = [sys.executable, "-I", "-S", "verifier.py", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@both_databases
async def test_a_pack_is_verified_by_a_lone_python_process(world: World) -> None:
    await world.witnessed(4, 9, RECORDS)
    question = pack.Question(since=START + timedelta(seconds=5), until=START + timedelta(seconds=12))
    built = build(world, question)
    assert [record["seq"] for record in built["records"]] == list(range(6, 13))
    auditor = world.folder / "auditor"
    auditor.mkdir()
    pack.write(built, auditor / "pack.json")
    assert sorted(each.name for each in auditor.iterdir()) == ["pack.json", "verifier.py"]
    alone = lone(auditor, "pack.json")
    assert alone.returncode == 0, alone.stderr
    assert "7 records are in the ledger 'gatehouse' of 30 records" in alone.stdout
    assert "none left out" in alone.stdout
    assert "Nothing from elsewhere was compared" in alone.stdout
    held = lone(auditor, "pack.json", "--checkpoint", str(world.file))
    assert held.returncode == 0, held.stderr
    assert "agrees with 3 of your 3 checkpoints" in held.stdout
    # What the channel shows, copied into a file, is a witness just as well.
    (auditor / "copied.txt").write_text(f"alice [12:00]\n{world.seen[1].line}\n", "utf-8")
    assert "agrees with 1 of your 1" in lone(auditor, "pack.json", "--checkpoint", "copied.txt").stdout


def test_the_verifier_needs_nothing_but_the_standard_library() -> None:
    import ast

    names = set()
    for each in ast.walk(ast.parse(Path(verifier.__file__).read_text("utf-8"))):
        if isinstance(each, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in each.names}
        elif isinstance(each, ast.ImportFrom):
            names.add((each.module or "").partition(".")[0])
    assert names <= sys.stdlib_module_names


async def test_no_byte_of_a_pack_can_be_changed_removed_or_added(world: World) -> None:
    await world.witnessed(2, 5)
    raw = verifier.dump(build(world, pack.Question(since=START + timedelta(seconds=3))))
    verifier.check(raw)
    for place in range(len(raw)):
        # Another bit, another letter case, a blank, nothing, one too many.
        for new in (bytes([raw[place] ^ 1]), bytes([raw[place] ^ 0x20]), b" ", b"", raw[place : place + 1] * 2):
            altered = raw[:place] + new + raw[place + 1 :]
            if altered == raw:
                continue
            with pytest.raises(verifier.Wrong):
                verifier.check(altered)


async def test_an_altered_pack_ends_the_process_with_one_and_says_what_is_wrong(world: World) -> None:
    await world.witnessed(6)
    auditor = world.folder / "auditor"
    auditor.mkdir()
    pack.write(build(world, pack.Question(since=START)), auditor / "pack.json")
    raw = (auditor / "pack.json").read_bytes()
    (auditor / "pack.json").write_bytes(raw.replace(b'"alice"', b'"mallo"', 1))
    done = lone(auditor, "pack.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "NOT VALID: the pack was altered" in done.stderr
    (auditor / "pack.json").write_bytes(b"\xff\x00")
    assert lone(auditor, "pack.json").returncode == 1
    assert lone(auditor, "missing.json").returncode == 1
    assert lone(auditor).returncode == 2


async def test_a_pack_sealed_anew_after_a_change_does_not_pass_either(world: World) -> None:
    """The seal only shows damage; what shows forgery are hashes, proofs and witnesses."""
    await world.witnessed(3, 8)
    honest = build(world, pack.Question(since=START))

    def forged(change: Any) -> bytes:
        altered = json.loads(json.dumps(honest))
        change(altered)
        altered.pop("seal")
        return verifier.dump(altered | {"seal": verifier.seal(altered)})

    def made_to_fit(p: Any) -> None:
        p["records"][2]["actor"] = "mallory"
        p["records"][2]["hash"] = verifier.record_hash(p["records"][2])

    def other_root(p: Any) -> None:
        lines = p["checkpoint"].split("\n")
        lines[2] = "A" * 43 + "="
        p["checkpoint"] = "\n".join(lines)

    for change, why in (
        (lambda p: p["records"][2].update(actor="mallory"), "record 3 was altered"),
        (made_to_fit, "record 3 is not in the ledger"),
        (lambda p: p["records"].pop(2), "records between 2 and 4 were left out"),
        (lambda p: p["records"].reverse(), "stands after"),
        (lambda p: p["records"].insert(2, p["records"][1]), "stands after"),
        (lambda p: p["records"][2].update(seq=4), "was altered"),
        (lambda p: p["records"][2].update(seq=True), "wrong type"),
        (lambda p: p["records"][2].update(more=1), "one too many"),
        (lambda p: p["records"][2]["proof"].pop(), "too short"),
        (lambda p: p["records"][2]["proof"].append("0" * 64), "too long"),
        (lambda p: p["records"][2].update(proof="no"), "not a list of hashes"),
        (other_root, "is not in the ledger"),
        (lambda p: p["earlier"][0]["proof"].append("0" * 64), "earlier checkpoint of 3 records"),
        (lambda p: p["earlier"][0].update(checkpoint="x"), "cannot be read"),
        (lambda p: p.update(checkpoint=p["checkpoint"].replace("gatehouse", "elsewhere")), "another ledger"),
        (lambda p: p.pop("records"), "lacks a part"),
        (lambda p: p.update(format="other/1"), "this is no"),
    ):
        with pytest.raises(verifier.Wrong, match=why):
            verifier.check(forged(change))


async def test_a_pack_of_a_forked_ledger_is_betrayed_by_the_witness(world: World) -> None:
    await world.witnessed(5, 10)
    witness = world.file.read_text("utf-8")

    def fork(conn: Any) -> None:
        records = rows(conn)
        records[2]["actor"] = "mallory"
        forge(conn, rehash(records))
        conn.execute(ledger.CHECKPOINTS.delete())

    world.db.write_sync(fork)
    world.file.unlink()
    raw = verifier.dump(build(world, pack.Question(since=START)))
    assert "Nothing from elsewhere" in verifier.check(raw)
    with pytest.raises(verifier.Wrong, match="forked"):
        verifier.check(raw, verifier.read_checkpoints(witness))


async def test_witnesses_the_pack_says_nothing_of_do_not_count_as_agreement(world: World) -> None:
    await world.witnessed(5)
    old = build(world, pack.Question(since=START))
    await world.witnessed(9)
    later = world.seen[-1]
    with pytest.raises(verifier.Wrong, match="export --against"):
        verifier.check(verifier.dump(old), verifier.read_checkpoints(later.text))
    world.db.write_sync(lambda conn: conn.execute(ledger.CHECKPOINTS.delete()))
    await world.grow(3)
    fresh = build(world, pack.Question(since=START), against=[(later, "a file")])
    assert "agrees with 1 of your 1" in verifier.check(verifier.dump(fresh), verifier.read_checkpoints(later.text))


async def test_a_broken_ledger_is_not_exported(world: World) -> None:
    await world.witnessed(6)
    world.db.write_sync(
        lambda conn: conn.execute(update(ledger.LEDGER).where(ledger.LEDGER.c.seq == 2).values(kind="x"))
    )
    with pytest.raises(GatehouseError, match="broken at record 2"):
        build(world, pack.Question(since=START))


@pytest.mark.parametrize("asked", [{}, {"finding": "f", "cause": "c"}, {"decision": "d", "since": START}])
def test_a_pack_is_about_one_thing(asked: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="about one thing"):
        pack.Question(**asked)


async def test_what_is_not_there_is_said(world: World) -> None:
    await world.witnessed(3)
    for asked in ({"finding": "f-no"}, {"cause": "c-no"}, {"decision": "dec-no"}, {"since": START + timedelta(days=9)}):
        with pytest.raises(NotFound):
            build(world, pack.Question(**asked))


def test_export_on_the_command_line_of_a_finding_and_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEHOUSE_DATABASE_URL", f"sqlite:///{tmp_path}/gatehouse.db")
    monkeypatch.setenv("GATEHOUSE_EVIDENCE__CHECKPOINT_FILE", str(tmp_path / "witness.txt"))
    for names in (("a", "b"), ("c",)):
        done = runner.invoke(app, ["ingest", "prowler", write(tmp_path, *(ocsf("s3_check", name) for name in names))])
        assert done.exit_code == 0, done.output
    noted = runner.invoke(app, ["ledger", "checkpoint"])
    assert parse(noted.stdout)[0].size > 2, noted.output
    assert runner.invoke(app, ["ledger", "checkpoint"]).stdout == noted.stdout, "nothing happened: the same one"
    listed = {
        row["resource_name"]: row
        for row in json.loads(runner.invoke(app, ["findings", "--status", "all", "--json"]).stdout)
    }
    out = tmp_path / "out" / "pack.json"
    out.parent.mkdir()
    done = runner.invoke(app, ["ledger", "export", "--finding", listed["a"]["id"], str(out)])
    assert done.exit_code == 0, done.output
    checked = lone(out.parent, "pack.json", "--checkpoint", str(tmp_path / "witness.txt"))
    assert checked.returncode == 0, checked.stderr
    told = json.loads(out.read_text())
    assert told["about"] == {"finding": listed["a"]["id"]}
    naming = {record["kind"] for record in told["records"] if listed["a"]["id"] in record["body"]}
    assert naming == {"findings.page", "findings.vanished"}
    assert not any(
        listed["c"]["id"] in record["body"] for record in told["records"] if record["kind"] == "findings.page"
    )
    assert runner.invoke(app, ["ledger", "export", str(out)]).exit_code == 2
    assert runner.invoke(app, ["ledger", "export", "--finding", "f-no", str(out)]).exit_code == 2
    assert runner.invoke(app, ["ledger", "export", "--since", "2020-01-01", str(out)]).exit_code == 0
    good = runner.invoke(app, ["ledger", "verify", "--against", str(tmp_path / "witness.txt"), "--json"])
    assert json.loads(good.stdout)["witnesses"] == 3
    (tmp_path / "wrong.txt").write_text(f"gatehouse\n2\n{'A' * 43}=\n2026-11-25T12:00:00+00:00\n")
    bad = runner.invoke(app, ["ledger", "verify", "--against", str(tmp_path / "wrong.txt")])
    assert bad.exit_code == 1
    assert "forked" in bad.output
    refused = runner.invoke(app, ["ledger", "export", "--since", "2020-01-01", "--against", "wrong.txt", str(out)])
    assert refused.exit_code == 1
    (tmp_path / "empty.txt").write_text("hello")
    assert runner.invoke(app, ["ledger", "verify", "--against", "empty.txt"]).exit_code == 2
    shutil.rmtree(out.parent)
