"""ECR, DynamoDB, CloudTrail, Lambda URLs and SSM documents."""

from __future__ import annotations

import re
from types import MappingProxyType

from pydantic import JsonValue

from bot.domain.errors import Gone
from bot.domain.plans import Call, Reversibility, Risk, Target
from bot.ports import CloudReader, PlaybookInfo, State

from .base import AwsPlaybook, SettingPlaybook, call
from .ec2 import PublicShare


class EcrScanOnPush(SettingPlaybook):
    info = PlaybookInfo(
        id="ecr-scan-on-push",
        version=1,
        title="Scan images when they are pushed",
        provider="aws",
        target_kind="ecr_repository",
        rules=frozenset({"ecr_repositories_scan_images_on_push_enabled", "security_hub:ECR.1"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="None known: pushes are not held up.",
        undo_note="New images are no longer scanned.",
        checks=("ecr_repositories_scan_images_on_push_enabled",),
    )
    arn_service = "ecr"
    resource = re.compile(r"repository/([a-z0-9][a-z0-9._/\-]{1,255})", re.ASCII)
    noun = "repository"
    writes = frozenset({"ecr.put_image_scanning_configuration"})
    wanted = MappingProxyType({"scanOnPush": True})
    fix_words = "Scan images on push to repository {name}"
    undo_words = "No longer scan images on push to repository {name}"
    fine = "images are scanned on push"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        request = call(target, "ecr", "describe_repositories", registryId=target.account, repositoryNames=[target.name])
        found = (await cloud.read(request))["repositories"]
        if not found:
            raise Gone(f"Repository {target.name} no longer exists.", mend="Scan again: the finding should vanish.")
        return {"settings": {"scanOnPush": found[0].get("imageScanningConfiguration", {}).get("scanOnPush")}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        return call(
            target,
            "ecr",
            "put_image_scanning_configuration",
            registryId=target.account,
            repositoryName=target.name,
            imageScanningConfiguration={"scanOnPush": bool(values["scanOnPush"])},
        )


class _Table(AwsPlaybook):
    arn_service = "dynamodb"
    resource = re.compile(r"table/([A-Za-z0-9_.\-]{3,255})", re.ASCII)
    noun = "table"


class TablePitr(SettingPlaybook, _Table):
    info = PlaybookInfo(
        id="dynamodb-pitr",
        version=1,
        title="Keep point-in-time backups of a table",
        provider="aws",
        target_kind="dynamodb_table",
        rules=frozenset({"dynamodb_tables_pitr_enabled", "security_hub:DynamoDB.2"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="Costs by the size of the table.",
        undo_note="Throws the restore window away.",
        undo_exposes=True,
        checks=("dynamodb_tables_pitr_enabled",),
    )
    writes = frozenset({"dynamodb.update_continuous_backups"})
    wanted = MappingProxyType({"PointInTimeRecoveryStatus": "ENABLED"})
    fix_words = "Keep point-in-time backups of table {name}"
    undo_words = "Stop point-in-time backups of table {name}"
    fine = "point-in-time recovery is on"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "dynamodb", "describe_continuous_backups", TableName=target.name))
        pitr = answer["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
        return {"settings": {"PointInTimeRecoveryStatus": pitr.get("PointInTimeRecoveryStatus")}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        on = values["PointInTimeRecoveryStatus"] == "ENABLED"
        return call(
            target,
            "dynamodb",
            "update_continuous_backups",
            TableName=target.name,
            PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": on},
        )


class TableDeletionProtection(SettingPlaybook, _Table):
    info = PlaybookInfo(
        id="dynamodb-deletion-protection",
        version=1,
        title="Protect a table from deletion",
        provider="aws",
        target_kind="dynamodb_table",
        rules=frozenset({"dynamodb_table_deletion_protection_enabled", "security_hub:DynamoDB.6"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="None for users; pipelines that tear the table down will fail.",
        undo_note="The table can be deleted again.",
        checks=("dynamodb_table_deletion_protection_enabled",),
    )
    writes = frozenset({"dynamodb.update_table"})
    wanted = MappingProxyType({"DeletionProtectionEnabled": True})
    fix_words = "Protect table {name} from deletion"
    undo_words = "No longer protect table {name} from deletion"
    fine = "deletion protection is on"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "dynamodb", "describe_table", TableName=target.name))
        return {"settings": {"DeletionProtectionEnabled": answer["Table"].get("DeletionProtectionEnabled")}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        on = bool(values["DeletionProtectionEnabled"])
        return call(target, "dynamodb", "update_table", TableName=target.name, DeletionProtectionEnabled=on)


class TrailValidation(SettingPlaybook):
    info = PlaybookInfo(
        id="cloudtrail-log-validation",
        version=1,
        title="Make a trail's log files tamper-evident",
        provider="aws",
        target_kind="cloudtrail_trail",
        rules=frozenset({"cloudtrail_log_file_validation_enabled", "security_hub:CloudTrail.4"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="None known: digest files are written beside the logs.",
        undo_note="Log files can be altered unseen again.",
        undo_exposes=True,
        checks=("cloudtrail_log_file_validation_enabled",),
    )
    arn_service = "cloudtrail"
    resource = re.compile(r"trail/([A-Za-z0-9][A-Za-z0-9._\-]{2,127})", re.ASCII)
    noun = "trail"
    writes = frozenset({"cloudtrail.update_trail"})
    wanted = MappingProxyType({"LogFileValidationEnabled": True})
    fix_words = "Write digests of the log files of trail {name}"
    undo_words = "No longer write digests of the log files of trail {name}"
    fine = "log file validation is on"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        trail = (await cloud.read(call(target, "cloudtrail", "get_trail", Name=target.uid)))["Trail"]
        return {"settings": {"LogFileValidationEnabled": trail.get("LogFileValidationEnabled")}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        on = bool(values["LogFileValidationEnabled"])
        return call(target, "cloudtrail", "update_trail", Name=target.uid, EnableLogFileValidation=on)


class LambdaUrlIam(SettingPlaybook):
    info = PlaybookInfo(
        id="lambda-url-iam",
        version=1,
        title="Ask callers of a function URL for IAM credentials",
        provider="aws",
        target_kind="lambda_function",
        rules=frozenset({"awslambda_function_url_public"}),
        risk=Risk.HIGH,
        reversibility=Reversibility.EXACT,
        danger="Public web hooks stop with 403: every caller must sign its requests.",
        undo_note="Anyone can call the function again.",
        undo_exposes=True,
        checks=("awslambda_function_url_public",),
    )
    arn_service = "lambda"
    resource = re.compile(r"function:([A-Za-z0-9_\-]{1,64})", re.ASCII)
    noun = "function"
    writes = frozenset({"lambda.update_function_url_config"})
    wanted = MappingProxyType({"AuthType": "AWS_IAM"})
    fix_words = "Ask callers of the URL of function {name} for IAM credentials"
    undo_words = "Let anyone call the URL of function {name} again"
    fine = "the URL asks for IAM credentials"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(call(target, "lambda", "get_function_url_config", FunctionName=target.name))
        return {"settings": {"AuthType": answer["AuthType"]}}

    def put(self, target: Target, values: dict[str, JsonValue], state: State) -> Call:
        # Only AuthType: a field that is left out (Cors, InvokeMode) keeps its value.
        auth = values["AuthType"]
        return call(target, "lambda", "update_function_url_config", FunctionName=target.name, AuthType=auth)


class DocumentPrivate(PublicShare):
    info = PlaybookInfo(
        id="ssm-document-private",
        version=1,
        title="Stop sharing an SSM document with everyone",
        provider="aws",
        target_kind="ssm_document",
        rules=frozenset({"ssm_documents_set_as_public", "security_hub:SSM.4"}),
        risk=Risk.LOW,
        reversibility=Reversibility.EXACT,
        danger="Accounts that are not named can no longer run the document.",
        undo_note="Makes the document public again.",
        undo_exposes=True,
        checks=("ssm_documents_set_as_public",),
    )
    arn_service = "ssm"
    resource = re.compile(r"document/([A-Za-z0-9_.\-]{3,128})", re.ASCII)
    noun = "document"
    thing = "document"
    writes = frozenset({"ssm.modify_document_permission"})
    fine = "it is not shared with everyone"

    async def inspect(self, cloud: CloudReader, target: Target) -> State:
        answer = await cloud.read(
            call(target, "ssm", "describe_document_permission", Name=target.name, PermissionType="Share")
        )
        accounts = answer.get("AccountIds", [])
        return {"public": "all" in accounts, "accounts": sorted(a for a in accounts if a != "all")}

    def _share(self, target: Target, public: bool) -> Call:
        verb = "AccountIdsToAdd" if public else "AccountIdsToRemove"
        return call(
            target,
            "ssm",
            "modify_document_permission",
            Name=target.name,
            PermissionType="Share",
            **{verb: ["all"]},
        )


PLAYBOOKS: tuple[AwsPlaybook, ...] = (
    EcrScanOnPush(),
    TablePitr(),
    TableDeletionProtection(),
    TrailValidation(),
    LambdaUrlIam(),
    DocumentPrivate(),
)
