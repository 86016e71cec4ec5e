//! Integration tests of the producer.
