"""Issues of several witnesses; what people split or merged; when a source last changed a finding

Revision: 0008, after: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("findings") as findings:
        findings.add_column(sa.Column("issue_id", sqltypes.AutoString(), nullable=False, server_default=""))
        findings.add_column(sa.Column("source_modified", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_findings_issue", "findings", ["issue_id"])
    op.create_table(
        "issue_overrides",
        sa.Column("finding_id", sqltypes.AutoString(), nullable=False),
        sa.Column("issue_id", sqltypes.AutoString(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(), nullable=False),
        sa.Column("by", sqltypes.AutoString(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("finding_id"),
    )


def downgrade() -> None:
    op.drop_table("issue_overrides")
    op.drop_index("ix_findings_issue", "findings")
    with op.batch_alter_table("findings") as findings:
        findings.drop_column("source_modified")
        findings.drop_column("issue_id")
