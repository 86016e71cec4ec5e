# What is there.

variable "user_pool_id" {
  description = "The user pool whose users become rows, of the provider's account and Region."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+_[A-Za-z0-9]+$", var.user_pool_id))
    error_message = "user_pool_id must be the id of a user pool, such as eu-west-1_Abc123Def."
  }

  validation {
    condition     = startswith(var.user_pool_id, "${data.aws_region.this.region}_")
    error_message = "user_pool_id must be of the provider's Region, which its id begins with: give the module a provider of the pool's Region."
  }
}

variable "vpc_id" {
  description = "The VPC from which the database can be reached."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id must be the id of a VPC, such as vpc-0123456789abcdef0."
  }
}

variable "subnet_ids" {
  description = "The subnets of what connects to the database. They need a way to SQS, and to Secrets Manager for migrations and for secrets: a NAT gateway, or `endpoints`. A public subnet is none: Lambda's functions have no public address."
  type        = list(string)

  validation {
    condition     = length(var.subnet_ids) > 0 && alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "subnet_ids must be one id of a subnet at least, such as [\"subnet-0123456789abcdef0\"]."
  }
}

variable "database_host" {
  description = "The host name of the PostgreSQL, 14 or newer, as its certificate has it."
  type        = string
}

variable "database_port" {
  description = "Its port."
  type        = number
  default     = 5432

  validation {
    condition     = var.database_port >= 1 && var.database_port <= 65535 && floor(var.database_port) == var.database_port
    error_message = "database_port must be a whole number from 1 to 65535."
  }
}

variable "database_name" {
  description = "The name of the database on it, which must be there."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z_][A-Za-z0-9_-]{0,62}$", var.database_name))
    error_message = "database_name must be 1 to 63 letters, digits, _ or -, beginning with a letter or _."
  }
}

variable "database_resource_id" {
  description = "Its resource id (db-…, cluster-…), which IAM authentication is granted by."
  type        = string
  default     = null

  validation {
    condition     = var.database_auth != "iam" || var.database_resource_id != null
    error_message = "database_resource_id must be given with database_auth = \"iam\", which is granted by it: `aws rds describe-db-instances --query 'DBInstances[].DbiResourceId'`; or set database_auth = \"secret\"."
  }

  validation {
    condition     = var.database_resource_id == null || can(regex("^(db|cluster)-[A-Z0-9]+$", var.database_resource_id))
    error_message = "database_resource_id must be the resource id of an instance or a cluster, such as db-ABCDEFGHIJKL: neither its name nor its ARN. A proxy cannot be the database here."
  }
}

variable "database_security_group_id" {
  description = "Its security group, which is opened to those who connect. Without, open it to the output security_group_id."
  type        = string
  default     = null

  validation {
    condition     = var.database_security_group_id == null || can(regex("^sg-", var.database_security_group_id))
    error_message = "database_security_group_id must be the id of a security group, such as sg-0123456789abcdef0."
  }
}

variable "admin_secret_arn" {
  description = "The complete ARN of the owner's credentials, in RDS's JSON form. Only the migrator is given them."
  type        = string
  default     = null

  validation {
    condition     = !var.migrations || var.admin_secret_arn != null
    error_message = "admin_secret_arn must be given, since migrations need the owner's credentials; or set migrations = false, run `user-sync migrate` before an apply and `user-sync maintain` daily."
  }

  validation {
    condition     = var.admin_secret_arn == null || can(regex("^arn:[^:]+:secretsmanager:[^:]+:[0-9]{12}:secret:.+$", var.admin_secret_arn))
    error_message = "admin_secret_arn must be the complete ARN of a secret, arn:aws:secretsmanager:…:secret:…."
  }
}

variable "certificate_authorities" {
  description = "The path of a PEM file with the authorities that the database's certificate is checked against. Amazon RDS's: global-bundle.pem, or the Region's (\"Certificate bundles by AWS Region\", Amazon RDS User Guide)."
  type        = string

  validation {
    condition     = fileexists(var.certificate_authorities)
    error_message = "certificate_authorities must be the path of a file that is there: curl -O https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem"
  }
}

# What is deployed.

variable "name" {
  description = "What the names of all resources begin with. Two modules in one account and Region need two."
  type        = string
  default     = "user-sync"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,23}$", var.name))
    error_message = "name must be 1 to 24 lower-case letters, digits or -, beginning with a letter."
  }
}

variable "code" {
  description = "The folder of the built programs, as `make lambda` leaves it: lambda/<program>/bootstrap, or lambda-arm64/…."
  type        = string
  default     = null

  validation {
    condition     = fileexists("${coalesce(var.code, "${path.module}/../../dist")}/${var.architecture == "arm64" ? "lambda-arm64" : "lambda"}/user-sync-trigger/bootstrap")
    error_message = "code must be a folder in which the programs are built for this architecture: run `make lambda` first, or say with code where its dist/ is."
  }
}

variable "architecture" {
  description = "What the programs were built for: x86_64 or arm64."
  type        = string
  default     = "x86_64"

  validation {
    condition     = contains(["x86_64", "arm64"], var.architecture)
    error_message = "architecture must be x86_64 or arm64."
  }
}

variable "deployment" {
  description = "Any text: when it changes, the triggers are set again, and the deployment is checked again. timestamp() does so at each apply."
  type        = string
  default     = null
}
