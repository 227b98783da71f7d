"""Indexes for questions: one that counts can be taken from alone, findings by uid, resources by name

Revision: 0014, after: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_ASKED_BY = [
    "status", "severity", "class_uid", "environment", "team", "first_seen", "resolved_at", "internet_exposed",
    "provider", "kev", "exploit", "fixable", "result", "account_uid", "resource_type", "app", "product", "region",
    "data_class", "rule_uid", "cve", "package", "control_set", "suppressed_at", "resource_id", "id", "epss", "cvss",
    "account_name", "owner",
]  # fmt: skip


def upgrade() -> None:
    op.create_index("ix_findings_uid", "findings", ["uid"])
    op.create_index("ix_findings_ask", "findings", _ASKED_BY)
    op.create_index("ix_resources_name", "resources", ["name"])


def downgrade() -> None:
    op.drop_index("ix_resources_name", "resources")
    op.drop_index("ix_findings_ask", "findings")
    op.drop_index("ix_findings_uid", "findings")
