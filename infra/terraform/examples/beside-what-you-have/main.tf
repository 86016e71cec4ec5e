# Beside a pool, a network and a database that are there: the shortest way to have it.

terraform {
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 6.0"
    }
  }
}

provider "aws" {
  region = "eu-west-1"
}

module "user_sync" {
  source = "../.."

  user_pool_id = "eu-west-1_Abc123Def"

  vpc_id     = "vpc-0123456789abcdef0"
  subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]

  database_host              = "db.abcdefghijkl.eu-west-1.rds.amazonaws.com"
  database_name              = "app"
  database_resource_id       = "db-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
  database_security_group_id = "sg-0123456789abcdef0"
  admin_secret_arn           = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:rds!db-1234-AbCdEf"
  certificate_authorities    = "${path.root}/global-bundle.pem"

  alarm_actions = ["arn:aws:sns:eu-west-1:123456789012:oncall"]
}

output "user_sync" {
  description = "What docs/runbook.md asks whoever is woken up to export."
  value       = module.user_sync
}
