"""AWS: attributed calls by boto3 in threads."""

from connectors.aws.clouds import AwsClouds, check_aws

__all__ = ["AwsClouds", "check_aws"]
