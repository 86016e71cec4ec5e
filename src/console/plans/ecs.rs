//! Runs a command as a one-off task of ECS, as an operator would by `aws ecs run-task`. Must not know what a command does.

use std::time::Duration;

use aws_sdk_ecs::Client;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{
    AssignPublicIp, AwsVpcConfiguration, ContainerOverride, KeyValuePair, LaunchType, NetworkConfiguration,
    Task, TaskOverride,
};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::aws::{self, Timeouts};
use crate::console::plans::job::{Cancel, Done, Order};
use crate::console::plans::kind::Kind;
use crate::console::plans::runner::{EXIT_CODE_1, RUN_ID_VARIABLE, STARTED_BY_VARIABLE, started_by};

/// The container of the construct's task that runs a command.
const CONTAINER: &str = "command";

/// How often ECS is asked how the task is.
const EVERY: Duration = Duration::from_secs(5);

/// How long ECS may be silent about a task before that counts as lost. The task itself goes on.
const SILENT_MAX: Duration = Duration::from_secs(10 * 60);

const TIMEOUTS: Timeouts = Timeouts { connect: Duration::from_secs(3), attempt: Duration::from_secs(10) };

/// The one-off task, as the construct makes it.
#[derive(Debug, Clone)]
pub struct TaskPlace {
    /// Its definition: family, family and revision, or ARN.
    pub task_definition: String,
    /// The cluster.
    pub cluster: String,
    /// Its subnets.
    pub subnets: Vec<String>,
    /// Its security groups.
    pub security_groups: Vec<String>,
    /// Whether it has an address of the internet's, as in subnets without a NAT gateway.
    pub has_public_ip: bool,
}

/// Where one-off tasks run.
#[derive(Debug)]
pub(in crate::console) struct Ecs {
    place: TaskPlace,
}

impl Ecs {
    pub(in crate::console) fn new(place: TaskPlace) -> Self {
        Self { place }
    }

    /// Runs a command to its end.
    pub(super) async fn run(&self, task: Uuid, order: &Order, command: &[&str], mut cancel: Cancel) -> Done {
        let client = Client::new(&aws::sdk_config(TIMEOUTS).await);
        let arn = match self.start(&client, task, order, command).await {
            Ok(arn) => arn,
            Err(class) => return Done::Failed(class),
        };
        tracing::info!(task.id = %task, ecs.task = arn, "ECS began a command");
        let mut heard = Instant::now();
        loop {
            let is_cancelled = tokio::select! {
                () = sleep(EVERY) => false,
                () = cancel.asked_for() => true,
            };
            if is_cancelled {
                return self.stop(&client, &arn).await;
            }
            match self.look(&client, &arn).await {
                Some(seen) => {
                    heard = Instant::now();
                    if let Some(done) = how_it_ended(order.kind, &seen) {
                        return done;
                    }
                }
                None if heard.elapsed() > SILENT_MAX => return Done::Failed("ecs does not say how it ended"),
                None => {}
            }
        }
    }

    async fn start(
        &self,
        client: &Client,
        task: Uuid,
        order: &Order,
        command: &[&str],
    ) -> Result<String, &'static str> {
        let TaskPlace { task_definition, cluster, subnets, security_groups, has_public_ip } = &self.place;
        let public_ip = if *has_public_ip { AssignPublicIp::Enabled } else { AssignPublicIp::Disabled };
        let network = AwsVpcConfiguration::builder()
            .set_subnets(Some(subnets.clone()))
            .set_security_groups(Some(security_groups.clone()))
            .assign_public_ip(public_ip)
            .build()
            .map_err(|_| "no subnets")?;
        let variable = |name: &str, value: String| KeyValuePair::builder().name(name).value(value).build();
        let container = ContainerOverride::builder()
            .name(CONTAINER)
            .set_command(Some(command.iter().map(ToString::to_string).collect()))
            .environment(variable(RUN_ID_VARIABLE, task.to_string()))
            .environment(variable(STARTED_BY_VARIABLE, started_by(order)))
            .build();
        let started = client
            .run_task()
            .task_definition(task_definition)
            .cluster(cluster)
            .launch_type(LaunchType::Fargate)
            .count(1)
            // Asked twice, ECS begins one.
            .client_token(task.to_string())
            .started_by(task.to_string())
            .network_configuration(NetworkConfiguration::builder().awsvpc_configuration(network).build())
            .overrides(TaskOverride::builder().container_overrides(container).build())
            .send()
            .await
            .map_err(|error| {
                let code = error.code().unwrap_or("no answer");
                tracing::warn!(task.id = %task, error.code = code, "ECS did not begin a command");
                "ecs did not begin it"
            })?;
        let arn = started.tasks.unwrap_or_default().into_iter().find_map(|task| task.task_arn);
        arn.ok_or("ecs has no room for it")
    }

    /// The task as ECS has it; `None` where it does not answer.
    async fn look(&self, client: &Client, arn: &str) -> Option<Task> {
        let asked = client.describe_tasks().cluster(&self.place.cluster).tasks(arn).send().await;
        asked.ok()?.tasks?.into_iter().next()
    }

    /// Stops it: ECS sends SIGTERM, and half a minute later SIGKILL.
    async fn stop(&self, client: &Client, arn: &str) -> Done {
        let reason = "cancelled in the console";
        let asked = client.stop_task().cluster(&self.place.cluster).task(arn).reason(reason).send().await;
        if asked.is_err() { Done::Failed("ecs did not stop it") } else { Done::Cancelled }
    }
}

/// How a task ended, if it did.
fn how_it_ended(kind: Kind, task: &Task) -> Option<Done> {
    if task.last_status() != Some("STOPPED") {
        return None;
    }
    let container = task.containers().iter().find(|container| container.name() == Some(CONTAINER));
    Some(match container.and_then(aws_sdk_ecs::types::Container::exit_code) {
        Some(code) if kind.is_done_by(code) => Done::All,
        Some(1) => Done::Failed(EXIT_CODE_1),
        Some(2) => Done::Failed("exit code 2"),
        Some(_) => Done::Failed("another exit code"),
        None => Done::Failed("ecs stopped it before it ended"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_ecs::types::Container;

    #[test]
    fn a_task_that_stopped_says_how_by_its_commands_exit_code() {
        let task = |code: Option<i32>| {
            let container = Container::builder().name(CONTAINER).set_exit_code(code).build();
            Task::builder().last_status("STOPPED").containers(container).build()
        };
        let kind = Kind::Reconcile { repair: false };
        assert_eq!(how_it_ended(kind, &Task::builder().last_status("RUNNING").build()), None);
        assert_eq!(how_it_ended(kind, &task(Some(2))), Some(Done::All));
        assert_eq!(how_it_ended(Kind::Maintain, &task(Some(2))), Some(Done::Failed("exit code 2")));
        assert_eq!(how_it_ended(kind, &task(None)), Some(Done::Failed("ecs stopped it before it ended")));
    }
}
