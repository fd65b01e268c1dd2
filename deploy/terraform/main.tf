# Creates the table with its stream, and the controller's IAM role for EKS Pod Identity, in one region.
#
# If the table is managed elsewhere (such as in GCO's CDK stacks), remove `aws_dynamodb_table`, enable the stream there
# (deploy/cdk) or with `gco-stream table enable-stream`, and keep the rest.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.30"
    }
  }
}

variable "cluster_name" {
  description = "Name of the EKS cluster in this region"
  type        = string
}

variable "namespace" {
  description = "Namespace of the Helm release"
  type        = string
  default     = "gco-inference"
}

variable "service_account" {
  description = "Name of the chart's ServiceAccount"
  type        = string
  default     = "gco-stream"
}

variable "table_name" {
  description = "Name of the endpoint table"
  type        = string
  default     = "gco-inference-endpoints"
}

variable "replica_regions" {
  description = "Other regions with a replica of the table. The controller of each region can read its own stream: STREAM_REGION"
  type        = set(string)
  default     = []
}

resource "aws_dynamodb_table" "endpoints" {
  name         = var.table_name
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "endpoint_name"

  attribute {
    name = "endpoint_name"
    type = "S"
  }

  # Replicas require this view type. The controller accepts any.
  stream_enabled   = true
  stream_view_type = "NEW_AND_OLD_IMAGES"

  point_in_time_recovery {
    enabled = true
  }

  dynamic "replica" {
    for_each = var.replica_regions
    content {
      region_name            = replica.value
      point_in_time_recovery = true
    }
  }

  lifecycle {
    prevent_destroy = true
  }
}

data "aws_iam_policy_document" "controller" {
  statement {
    sid       = "Table"
    resources = [aws_dynamodb_table.endpoints.arn]
    actions = [
      "dynamodb:DescribeTable",
      "dynamodb:Scan",
      "dynamodb:GetItem",
      "dynamodb:UpdateItem",
      "dynamodb:DeleteItem",
    ]
  }

  statement {
    sid       = "Stream"
    resources = ["${aws_dynamodb_table.endpoints.arn}/stream/*"]
    actions = [
      "dynamodb:DescribeStream",
      "dynamodb:GetShardIterator",
      "dynamodb:GetRecords",
    ]
  }
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole", "sts:TagSession"]
    principals {
      type        = "Service"
      identifiers = ["pods.eks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-namespace"
      values   = [var.namespace]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:RequestTag/kubernetes-service-account"
      values   = [var.service_account]
    }
  }
}

resource "aws_iam_role" "controller" {
  name_prefix        = "gco-stream-"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "controller" {
  name   = "gco-stream"
  role   = aws_iam_role.controller.id
  policy = data.aws_iam_policy_document.controller.json
}

resource "aws_eks_pod_identity_association" "controller" {
  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.controller.arn
}

output "role_arn" {
  description = "ARN of the controller's role. For IRSA instead of Pod Identity, use it as the annotation eks.amazonaws.com/role-arn of the ServiceAccount"
  value       = aws_iam_role.controller.arn
}
