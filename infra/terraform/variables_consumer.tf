# The consumer.

variable "memory_size" {
  description = "Memory of the consumer function in MiB."
  type        = number
  default     = 512

  validation {
    condition     = var.memory_size >= 128 && var.memory_size <= 10240 && floor(var.memory_size) == var.memory_size
    error_message = "memory_size must be a whole number from 128 to 10240."
  }
}

variable "max_concurrency" {
  description = "Most consumer functions at once. Each takes one connection, so this bounds the database's."
  type        = number
  default     = 4

  validation {
    condition     = var.max_concurrency >= 2 && var.max_concurrency <= 1000 && floor(var.max_concurrency) == var.max_concurrency
    error_message = "max_concurrency must be a whole number from 2 to 1000."
  }
}

variable "batch_size" {
  description = "Most messages that are applied in one transaction."
  type        = number
  default     = 1000

  validation {
    condition     = var.batch_size >= 1 && var.batch_size <= 10000 && floor(var.batch_size) == var.batch_size
    error_message = "batch_size must be a whole number from 1 to 10000."
  }
}

variable "max_batching_window_seconds" {
  description = "How long Lambda gathers a batch."
  type        = number
  default     = 1

  validation {
    condition     = var.max_batching_window_seconds >= 0 && var.max_batching_window_seconds <= 300 && floor(var.max_batching_window_seconds) == var.max_batching_window_seconds
    error_message = "max_batching_window_seconds must be a whole number from 0 to 300."
  }

  # "Batching behavior", AWS Lambda Developer Guide.
  validation {
    condition     = var.batch_size <= 10 || var.max_batching_window_seconds >= 1
    error_message = "max_batching_window_seconds must be 1 at least, since batch_size is above 10."
  }
}

variable "max_receive_count" {
  description = "How often a message is received before it is given up as a dead letter. Lambda goes on receiving while the database is unavailable: 1000 outlast about ten days."
  type        = number
  default     = 1000

  validation {
    condition     = var.max_receive_count >= 1 && var.max_receive_count <= 1000 && floor(var.max_receive_count) == var.max_receive_count
    error_message = "max_receive_count must be a whole number from 1 to 1000."
  }
}
