# The network side of whatever connects to the database.

resource "aws_security_group" "this" {
  name        = var.name
  description = "Connects to the database and to AWS, and is connected to by nobody"
  vpc_id      = var.vpc_id

  # Lambda takes a while to let go of its network interfaces.
  timeouts {
    delete = "60m"
  }
}

resource "aws_vpc_security_group_egress_rule" "aws" {
  security_group_id = aws_security_group.this.id
  description       = "HTTPS, to AWS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "database" {
  security_group_id            = aws_security_group.this.id
  description                  = "PostgreSQL"
  ip_protocol                  = "tcp"
  from_port                    = var.database_port
  to_port                      = var.database_port
  referenced_security_group_id = var.database_security_group_id
  cidr_ipv4                    = var.database_security_group_id == null ? "0.0.0.0/0" : null
}

resource "aws_vpc_security_group_ingress_rule" "database" {
  count = var.database_security_group_id == null ? 0 : 1

  security_group_id            = var.database_security_group_id
  description                  = "PostgreSQL, for user-sync"
  ip_protocol                  = "tcp"
  from_port                    = var.database_port
  to_port                      = var.database_port
  referenced_security_group_id = aws_security_group.this.id
}

locals {
  network = { subnet_ids = var.subnet_ids, security_group_id = aws_security_group.this.id }

  # What a function in the VPC waits for, before it is invoked.
  reachable = [
    aws_vpc_security_group_egress_rule.aws,
    aws_vpc_security_group_egress_rule.database,
    aws_vpc_security_group_ingress_rule.database,
    aws_vpc_endpoint.this,
  ]
}
