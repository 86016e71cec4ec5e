# An alarm for each way in which users could stop being synced. What silence means is said by each: all is well, or that somebody
# should have spoken.

locals {
  heartbeat_minutes = var.heartbeat_interval_seconds / 60
  silence_minutes   = var.alarm_thresholds.heartbeat_intervals * local.heartbeat_minutes

  # One look in a minute is enough. The lifecycle function looks with each heartbeat, and the keeper every 5 minutes: fewer
  # periods than two looks and the time until CloudWatch has the second would call it over in between.
  looks = { for who, minutes in { lifecycle = local.heartbeat_minutes, keeper = 5 } : who => { periods = 2 * minutes + 2, datapoints = 1 } }

  # A metric of a program: `service` is its function.
  of = { for id, function in {
    trigger   = module.trigger.name
    consumer  = module.consumer.name
    lifecycle = module.lifecycle.name
    keeper    = one(module.keeper[*].name)
    migrator  = one(module.migrator[*].name)
    drift     = one(module.drift[*].name)
    rows      = one(module.rows[*].name)
    audit     = one(module.audit[*].name)
    } : id => {
    program = { namespace = "UserSync", dimensions = { service = function }, period = 300, stat = "Sum" }
    lambda  = { namespace = "AWS/Lambda", dimensions = { FunctionName = function }, period = 300, stat = "Sum" }
  } if function != null }
  of_queue = { for id, name in {
    queue              = module.queues.queue.name
    dead_letters       = module.queues.dead_letters.name
    lifecycle_failures = aws_sqs_queue.lifecycle_failures.name
    contexts           = one(module.context_queues[*].queue.name)
    context_letters    = one(module.context_queues[*].dead_letters.name)
    record_failures    = one(aws_sqs_queue.record_failures[*].name)
    raw                = one(module.raw_records[*].queue.name)
    raw_letters        = one(module.raw_records[*].dead_letters.name)
  } : id => { namespace = "AWS/SQS", dimensions = { QueueName = name }, period = 300, stat = "Maximum" } if name != null }
  waiting = { for id, queue in local.of_queue : id => merge(queue, { name = "ApproximateNumberOfMessagesVisible" }) }
  oldest  = { for id, queue in local.of_queue : id => merge(queue, { name = "ApproximateAgeOfOldestMessage" }) }

  alarms = merge(
    local.alarms_always,
    { for id, alarm in local.alarms_of_triggers : id => alarm if var.attach_triggers },
    { for id, alarm in local.alarms_of_keeper : id => alarm if var.keep_triggers },
    { for id, alarm in local.alarms_of_chain : id => alarm if length(local.chained) > 0 },
    { for id, alarm in local.alarms_of_migrator : id => alarm if var.migrations },
    { for id, alarm in local.alarms_of_drift : id => alarm if local.has_drift },
    { for id, alarm in local.alarms_of_contexts : id => alarm if local.has_contexts },
    { for id, alarm in local.alarms_of_records : id => alarm if local.has_sources },
  )

  alarms_always = {
    HeartbeatMissing = {
      metrics   = { m = merge(local.of.consumer.program, { name = "heartbeats", period = local.silence_minutes * 60 }) }
      threshold = 1
      below     = true
      missing   = "breaching"
      says      = "No heartbeat has come through for ${local.silence_minutes} minutes: users are not synced. Sign-ins go on."
      section   = "Heartbeat age"
    }
    Undelivered = {
      metrics   = { m = merge(local.of.trigger.program, { name = "undelivered" }) }
      threshold = var.alarm_thresholds.undelivered
      says      = "Events are only in the trigger's log: replay them before its retention is over."
      section   = "Undelivered > 0"
    }
    DeadLetters = {
      metrics   = { m = merge(local.waiting.dead_letters, { period = 60 }) }
      threshold = var.alarm_thresholds.dead_letters
      says      = "Messages could not be applied, and wait in the dead-letter queue for 14 days."
      section   = "Dead letters > 0"
    }
    DatabaseMisconfigured = {
      metrics = { m = merge(local.of.consumer.program, {
        name       = "retried"
        dimensions = { service = module.consumer.name, cause = "database_misconfigured" }
        period     = 60
      }) }
      threshold = 0
      # One is enough, since it never passes by itself. A message comes back after 15 minutes at most.
      periods    = 20
      datapoints = 1
      says       = "The database refuses rows: a migration or a grant is missing, or somebody changed what the tables take. The messages are retried and nothing is lost, but users are not synced. `user-sync doctor` names what refuses the rows."
      section    = "Database misconfigured"
    }
    OldestMessage = {
      metrics   = { m = local.oldest.queue }
      threshold = var.alarm_thresholds.oldest_message_seconds
      says      = "Events wait in the queue for too long: the consumer or the database is behind."
      section   = "Age of the oldest message, freshness p99"
    }
    Freshness = {
      metrics   = { m = merge(local.of.consumer.program, { name = "freshness", stat = "p99" }) }
      threshold = var.alarm_thresholds.freshness_seconds
      says      = "One event in a hundred takes too long to its row."
      section   = "Age of the oldest message, freshness p99"
    }
    TriggerErrors = {
      metrics   = { m = merge(local.of.trigger.lambda, { name = "Errors" }) }
      threshold = var.alarm_thresholds.trigger_errors
      says      = "The trigger function fails: users cannot sign in."
      section   = "Trigger errors, trigger duration"
    }
    TriggerThrottles = {
      # Lambda does not count them as errors, and to Cognito they are.
      metrics   = { m = merge(local.of.trigger.lambda, { name = "Throttles" }) }
      threshold = var.alarm_thresholds.trigger_throttles
      says      = "The trigger function is throttled, by the account's concurrency: users cannot sign in."
      section   = "Trigger errors, trigger duration"
    }
    TriggerDuration = {
      # Who was the trigger before is waited for, up to 4.4 s.
      metrics   = { m = merge(local.of.trigger.lambda, { name = "Duration", stat = "p99" }) }
      threshold = coalesce(var.alarm_thresholds.trigger_duration_milliseconds, length(local.chained) > 0 ? 4000 : 2500)
      says      = "The trigger function comes close to the 5 s after which Cognito tries again."
      section   = "Trigger errors, trigger duration"
    }
    LifecycleFailures = {
      metrics   = { m = merge(local.waiting.lifecycle_failures, { period = 60 }) }
      threshold = var.alarm_thresholds.lifecycle_failures
      says      = "Changes or heartbeats were given up after every retry, and are kept in the queue of lifecycle failures. Reconcile brings the changes."
      section   = "Lifecycle failures > 0"
    }
    ConsumerErrors = {
      metrics   = { m = merge(local.of.consumer.lambda, { name = "Errors" }) }
      threshold = var.alarm_thresholds.consumer_errors
      says      = "The consumer fails as a whole, and its batches return to the queue."
      section   = "Consumer errors"
    }
  }

  # The most that anybody who looked has seen in a minute: the keeper may have put them back before the other looks.
  missing_triggers = { for id in ["lifecycle", "keeper"] :
    id => merge(local.of[id].program, { name = "triggers_missing", period = 60, stat = "Maximum" }) if contains(keys(local.of), id)
  }
  alarms_of_triggers = {
    TriggersMissing = merge(local.looks.lifecycle, {
      metrics    = local.missing_triggers
      expression = length(local.missing_triggers) > 1 ? "MAX([FILL(lifecycle, 0), FILL(keeper, 0)])" : null
      threshold  = 0
      says       = "The user pool does not call the trigger function, or did not for a while: sign-ins were not counted."
      section    = "Triggers missing"
    })
  }

  # Why triggers that are missing are not put back, as the label of the metric has it.
  not_put_back = ["held", "limit", "foreign", "parameter", "failed"]
  alarms_of_keeper = { for id in ["TriggersNotPutBack"] : id => merge(local.looks.keeper, {
    metrics = merge(
      { for reason in local.not_put_back : reason => merge(local.of.keeper.program, {
        name       = "triggers_not_put_back"
        dimensions = { service = module.keeper[0].name, reason = reason }
        period     = 60
      }) },
      { errors = merge(local.of.keeper.lambda, { name = "Errors", period = 60 }) },
    )
    expression = "SUM([${join(", ", [for part in concat(local.not_put_back, ["errors"]) : "FILL(${part}, 0)"])}])"
    threshold  = 0
    says       = "Triggers of the user pool are missing and nobody puts them back: somebody holds them, they were put back too often, another function is there, or the parameter or the pool cannot be used. The keeper's log says which."
    section    = "Triggers missing"
  }) if var.keep_triggers }

  alarms_of_chain = {
    ChainFailed = {
      metrics   = { m = merge(local.of.trigger.program, { name = "chain_failed" }) }
      threshold = var.alarm_thresholds.chain_failed
      says      = "The pool's former trigger could not be called, and sign-ins went on without it, or it did not answer, and they failed."
      section   = "chain_failed > 0"
    }
  }

  alarms_of_migrator = { for id in ["LedgerHorizon"] : id => {
    metrics   = { m = merge(local.of.migrator.program, { name = "ledger_days_ahead", period = 86400, stat = "Minimum" }) }
    threshold = var.alarm_thresholds.ledger_ahead_days
    below     = true
    periods   = 2
    missing   = "breaching"
    says      = "The ledger has months for too few days ahead, or its daily maintenance has not run for two days."
    section   = "Ledger horizon near"
  } if var.migrations }

  alarms_of_drift = { for id, alarm in {
    Drift = {
      metrics    = { for name in ["drift"] : "m" => merge(local.of[name].program, { name = "drift", period = 86400, stat = "Maximum" }) if local.has_drift }
      expression = null
      threshold  = var.alarm_thresholds.drift
      below      = false
      periods    = 1
      missing    = "notBreaching"
      says       = "Users differ between the pool and the table."
    }
    DriftCheckFails = {
      metrics = merge(
        { for name in ["drift"] : "done" => merge(local.of[name].program, { name = "drift", period = 86400, stat = "SampleCount" }) if local.has_drift },
        { for name in ["drift"] : "check" => merge(local.of[name].lambda, { name = "Errors", period = 86400 }) if local.has_drift },
        { for name in ["rows"] : "rows" => merge(local.of[name].lambda, { name = "Errors", period = 86400 }) if local.has_drift },
      )
      expression = "IF(FILL(done, 0) > 0, 0, FILL(check, 0) + FILL(rows, 0))"
      threshold  = 0
      below      = false
      periods    = 1
      missing    = "notBreaching"
      says       = "The comparison of the pool with the table fails, and none has come to its end for a day. ${local.which_log}"
    }
    DriftCheckMissing = {
      metrics    = { for name in ["drift"] : "m" => merge(local.of[name].program, { name = "drift", period = 86400, stat = "SampleCount" }) if local.has_drift }
      expression = null
      threshold  = 1
      below      = true
      periods    = max(2, ceil(2 * var.drift_interval_seconds / 86400))
      missing    = "breaching"
      says       = "No comparison of the pool with the table has come to its end in time. ${local.which_log}"
    }
  } : id => merge(alarm, { section = "Drift" }) if local.has_drift }
  which_log = "The check's log says why; where it could not read the rows, the log of the function Rows."

  # The age of what waits longest: for a row, or to be read.
  context_ages = merge(
    { for id in ["contexts"] : id => local.oldest[id] if local.has_contexts },
    { for id in ["raw"] : id => local.oldest[id] if local.has_trail },
  )
  alarms_of_contexts = { for id, alarm in {
    ContextDeadLetters = {
      metrics    = { for queue in ["context_letters"] : "m" => merge(local.waiting[queue], { period = 60 }) if local.has_contexts }
      expression = null
      threshold  = var.alarm_thresholds.context_dead_letters
      says       = "Contexts or failed sign-ins could not be applied, and wait in their own dead-letter queue for 14 days."
      section    = "Context dead letters > 0"
    }
    OldestContext = {
      metrics    = local.context_ages
      expression = local.has_trail ? "MAX([FILL(contexts, 0), FILL(raw, 0)])" : null
      # What waits behind an attack is no reason to wake anybody: sign-ins have a queue of their own.
      threshold = var.alarm_thresholds.oldest_context_seconds
      says      = "Contexts wait for too long: rows lack the place of their latest login. Logins are counted."
      section   = "Age of the oldest context"
    }
  } : id => alarm if local.has_contexts }

  record_letters = { for id, queue in { failures = "record_failures", raw = "raw_letters" } :
    id => merge(local.waiting[queue], { period = 60 }) if contains(keys(local.waiting), queue)
  }
  alarms_of_records = { for id, alarm in {
    SignInRecordFailures = {
      metrics    = local.record_letters
      expression = "SUM([${join(", ", [for id in keys(local.record_letters) : "FILL(${id}, 0)"])}])"
      threshold  = var.alarm_thresholds.sign_in_record_failures
      periods    = 1
      says       = "AWS's records of sign-ins could not be read after every retry, and are kept for 14 days."
      section    = "Sign-in records not read"
    }
    LoginsUnaccounted = {
      metrics    = { for id in ["audit"] : "m" => merge(local.of[id].program, { name = "logins_unaccounted", period = 3600, stat = "Maximum" }) if local.has_sources }
      expression = null
      threshold  = var.alarm_thresholds.logins_unaccounted
      periods    = 1
      says       = "AWS or the application recorded sign-ins that are not in the ledger. `user-sync audit --list` names them."
      section    = "Logins unaccounted for"
    }
    AuditFails = {
      # One hour's is no loss: the next audits a day, too.
      metrics    = { for id in ["audit"] : "m" => merge(local.of[id].lambda, { name = "Errors", period = 3600 }) if local.has_sources }
      expression = null
      threshold  = 0
      periods    = var.alarm_thresholds.audit_hours
      says       = "The audit of the logins has failed for ${var.alarm_thresholds.audit_hours} hours."
      section    = "Logins unaccounted for"
    }
  } : id => alarm if local.has_sources }
}

module "alarm" {
  source   = "./modules/alarm"
  for_each = local.alarms

  name                = "${var.name}-${each.key}"
  description         = "${each.value.says} What to do: docs/runbook.md, \"${each.value.section}\"."
  metrics             = each.value.metrics
  expression          = try(each.value.expression, null)
  threshold           = each.value.threshold
  below               = try(each.value.below, false)
  evaluation_periods  = try(each.value.periods, 1)
  datapoints_to_alarm = try(each.value.datapoints, null)
  treat_missing_data  = try(each.value.missing, "notBreaching")
  actions             = var.alarm_actions
}
