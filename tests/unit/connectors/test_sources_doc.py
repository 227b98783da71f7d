import os
from pathlib import Path

from sources_table import BEGIN, END, EXAMPLES, mapping_of, tables

from connectors.registry import BUILT_IN

DOC = Path(__file__).resolve().parents[3] / "docs" / "sources.md"


def test_the_tables_of_the_document_are_what_the_code_does() -> None:
    before, _, rest = DOC.read_text("utf-8").partition(BEGIN)
    written, _, after = rest.partition(END)
    assert after, "docs/sources.md has lost its markers"
    if os.environ.get("UPDATE_DOCS"):
        DOC.write_text(f"{before}{BEGIN}\n{tables()}\n{END}{after}", "utf-8")
        return
    assert written.strip() == tables(), "run: UPDATE_DOCS=1 pytest tests/unit/connectors/test_sources_doc.py"


def test_every_built_in_source_has_an_example() -> None:
    assert set(EXAMPLES) == set(BUILT_IN)
    assert "title" in mapping_of("security_hub")["Title"]
