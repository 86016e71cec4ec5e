output "queue" {
  value = {
    name = aws_sqs_queue.queue.name
    arn  = aws_sqs_queue.queue.arn
    url  = aws_sqs_queue.queue.url
  }
}

output "dead_letters" {
  value = {
    name = aws_sqs_queue.dead_letters.name
    arn  = aws_sqs_queue.dead_letters.arn
    url  = aws_sqs_queue.dead_letters.url
  }
}
