//! Where the figures of the console's page Now come from, as the command line says it.

use clap::Args;
use cognito_user_sync::config::{DLQ_URL_VARIABLE, Environment};
use cognito_user_sync::console::{self, NowOptions, Services};
use cognito_user_sync_triggers::publish::QUEUE_URL_VARIABLE;
use url::Url;

/// Where the figures of the page Now come from.
#[derive(Debug, Args)]
pub(super) struct SourceArguments {
    /// Where a worker serves its metrics, such as http://10.0.0.7:9464/metrics; once for each worker.
    #[arg(long, value_name = "URL", env = "USER_SYNC_METRICS_URLS", value_delimiter = ',', value_parser = console::metrics_url)]
    metrics_url: Vec<Url>,
    /// The consumer's name in CloudWatch, which is asked once a minute while somebody looks: the function's, or the
    /// worker's --emf-service. Without it and with --metrics-url, the workers are asked.
    #[arg(long, value_name = "NAME", env = "USER_SYNC_CONSUMER_SERVICE", conflicts_with = "metrics_url")]
    consumer_service: Option<String>,
    /// The trigger function's name, for what it could not queue; several are separated by commas.
    #[arg(long, value_name = "NAMES", env = "USER_SYNC_TRIGGER_SERVICES", value_delimiter = ',')]
    trigger_service: Vec<String>,
    /// The name of the function that looks at the pool's triggers; several are separated by commas.
    #[arg(long, value_name = "NAMES", env = "USER_SYNC_LIFECYCLE_SERVICES", value_delimiter = ',')]
    lifecycle_service: Vec<String>,
    /// Ask CloudWatch for the queue's figures, also where none of its services is named.
    #[arg(long)]
    cloudwatch: bool,
    /// The timeout of the consumer's function in seconds, from which the right visibility timeout follows.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=900))]
    consumer_timeout_seconds: u32,
}

impl SourceArguments {
    pub(super) fn options(self) -> anyhow::Result<NowOptions> {
        let environment = Environment::process();
        let services = Services {
            consumer: self.consumer_service,
            triggers: self.trigger_service,
            lifecycle: self.lifecycle_service,
        };
        services.check().map_err(anyhow::Error::msg)?;
        let most = console::WORKERS_MAX;
        anyhow::ensure!(self.metrics_url.len() <= most, "at most {most} workers (--metrics-url)");
        Ok(NowOptions {
            queue_url: environment.optional(QUEUE_URL_VARIABLE)?,
            dlq_url: environment.optional(DLQ_URL_VARIABLE)?,
            workers: self.metrics_url,
            cloudwatch: (self.cloudwatch || services != Services::default()).then_some(services),
            consumer_timeout_seconds: self.consumer_timeout_seconds,
        })
    }
}
