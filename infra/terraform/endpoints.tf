# The ways to AWS out of closed subnets, each only if it is asked for. Private DNS is the whole VPC's: from then on, everybody
# in it reaches the service through this endpoint, or not at all. None of Cognito: nothing in the VPC speaks to it.

data "aws_vpc" "this" {
  count = length(local.endpoints) > 0 ? 1 : 0

  id = var.vpc_id
}

locals {
  endpoints = [for service, is_asked in { sqs = var.endpoints.sqs, secretsmanager = var.endpoints.secrets_manager } : service if is_asked]

  # All CIDRs of the VPC, or the peers that are named.
  endpoint_peers = coalesce(var.endpoints.peers, flatten(data.aws_vpc.this[*].cidr_block_associations[*].cidr_block))
}

resource "aws_security_group" "endpoints" {
  count = length(local.endpoints) > 0 ? 1 : 0

  name        = "${var.name}-endpoints"
  description = "Lets the VPC reach AWS through user-sync's endpoints"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "endpoints" {
  for_each = length(local.endpoints) > 0 ? toset(local.endpoint_peers) : []

  security_group_id = aws_security_group.endpoints[0].id
  description       = "HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.key
}

resource "aws_vpc_security_group_ingress_rule" "own" {
  count = length(local.endpoints) > 0 ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "user-sync"
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
  referenced_security_group_id = aws_security_group.this.id
}

resource "aws_vpc_endpoint" "this" {
  for_each = toset(local.endpoints)

  vpc_id              = var.vpc_id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${local.account.region}.${each.key}"
  subnet_ids          = var.subnet_ids
  security_group_ids  = [aws_security_group.endpoints[0].id]
  private_dns_enabled = true

  depends_on = [aws_vpc_security_group_ingress_rule.endpoints, aws_vpc_security_group_ingress_rule.own]
}
