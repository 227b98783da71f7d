"""What others say of CVEs and resources, CVEs besides the first, by which rule a cause was routed, mis-routes

Revision: 0012, after: 0011
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TEXT = sqltypes.AutoString
_TIME = sa.DateTime(timezone=True)


def _word(name: str) -> sa.Column[str]:
    return sa.Column(name, _TEXT(), nullable=False)


def upgrade() -> None:
    op.create_table(
        "intel_feeds",
        _word("name"),
        _word("version"),
        sa.Column("as_of", _TIME, nullable=True),
        _word("etag"),
        sa.Column("entries", sa.Integer(), nullable=False),
        sa.Column("fetched_at", _TIME, nullable=True),
        sa.Column("checked_at", _TIME, nullable=True),
        sa.Column("tried_at", _TIME, nullable=True),
        sa.Column("failing_since", _TIME, nullable=True),
        sa.Column("error", sa.Text(), nullable=False),
        _word("spent_day"),
        sa.Column("spent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "intel_kev",
        _word("cve"),
        _word("added"),
        _word("due"),
        sa.Column("ransomware", sa.Boolean(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        _word("content"),
        sa.PrimaryKeyConstraint("cve"),
    )
    op.create_table(
        "intel_epss",
        _word("cve"),
        sa.Column("epss", sa.Float(), nullable=False),
        sa.Column("percentile", sa.Float(), nullable=False),
        _word("content"),
        sa.PrimaryKeyConstraint("cve"),
    )
    op.create_table(
        "intel_nvd",
        _word("cve"),
        sa.Column("found", sa.Boolean(), nullable=False),
        sa.Column("cvss", sa.Float(), nullable=True),
        _word("vector"),
        _word("modified"),
        sa.Column("fetched_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("cve"),
    )
    op.create_table("finding_cves", _word("cve"), _word("finding_id"), sa.PrimaryKeyConstraint("cve", "finding_id"))
    op.create_index("ix_finding_cves_finding", "finding_cves", ["finding_id"])
    op.create_table(
        "resource_context",
        _word("resource_uid"),
        _word("fact"),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        _word("source"),
        sa.Column("as_of", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("resource_uid", "fact"),
    )
    op.create_table(
        "misroutes",
        _word("id"),
        _word("cause_id"),
        _word("rule"),
        _word("owner_from"),
        _word("owner_to"),
        _word("by"),
        sa.Column("at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_misroutes_at", "misroutes", ["at", "rule"])
    op.add_column("causes", sa.Column("owner_rule", _TEXT(), nullable=False, server_default=""))
    op.create_index(
        "ix_findings_cve", "findings", ["cve"], sqlite_where=sa.text("cve <> ''"), postgresql_where=sa.text("cve <> ''")
    )


def downgrade() -> None:
    op.drop_index("ix_findings_cve", "findings")
    with op.batch_alter_table("causes") as causes:
        causes.drop_column("owner_rule")
    op.drop_index("ix_misroutes_at", "misroutes")
    op.drop_index("ix_finding_cves_finding", "finding_cves")
    op.drop_table("misroutes")
    op.drop_table("resource_context")
    op.drop_table("finding_cves")
    for name in ("nvd", "epss", "kev", "feeds"):
        op.drop_table(f"intel_{name}")
