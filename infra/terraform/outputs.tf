# What docs/runbook.md asks whoever is woken up to export, under the names that the construct's apps give.

output "queue_url" {
  description = "USER_SYNC_QUEUE_URL"
  value       = module.queues.queue.url
}

output "dead_letter_queue_url" {
  description = "USER_SYNC_DLQ_URL"
  value       = module.queues.dead_letters.url
}

output "user_pool_id" {
  description = "USER_SYNC_USER_POOL_ID"
  value       = var.user_pool_id
}

output "trigger_arn" {
  description = "USER_SYNC_TRIGGER_ARN: with attach_triggers = false, set it as the pool's PostConfirmation and PostAuthentication trigger"
  value       = module.trigger.arn
}

output "trigger_log_group" {
  description = "The log that `user-sync replay` reads"
  value       = module.trigger.log_group_name
}

output "lifecycle_failures" {
  description = "What the lifecycle function gave up"
  value       = aws_sqs_queue.lifecycle_failures.url
}

output "triggers_parameter_name" {
  description = "USER_SYNC_TRIGGERS_PARAMETER, for `user-sync triggers hold`, with keep_triggers"
  value       = one(aws_ssm_parameter.triggers[*].name)
}

output "context_queue_url" {
  description = "USER_SYNC_CONTEXT_QUEUE_URL, where there is a queue of contexts"
  value       = one(module.context_queues[*].queue.url)
}

output "context_queue_arn" {
  description = "What a backend that says where its users are must be permitted sqs:SendMessage on"
  value       = one(module.context_queues[*].queue.arn)
}

output "context_dead_letter_queue_url" {
  description = "USER_SYNC_CONTEXT_DLQ_URL, where there is a queue of contexts"
  value       = one(module.context_queues[*].dead_letters.url)
}

output "security_group_id" {
  description = "Who connects to the database: let it in, where database_security_group_id is not given"
  value       = aws_security_group.this.id
}

output "drift_function_name" {
  description = "The function that compares the pool with the table"
  value       = one(module.drift[*].name)
}

output "pool_triggers_role_arn" {
  description = "Who sets the pool's triggers"
  value       = one(module.pool_triggers[*].role_arn)
}
