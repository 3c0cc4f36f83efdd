"""The service on AWS, as an app of the AWS CDK: docs/how-to/deploy-aws.md."""
