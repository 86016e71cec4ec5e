//! Where the commands run that somebody starts on a page: the options that say so. Must not know what is started.

use clap::Args;
use cognito_user_sync::console::{COMMANDS_DATABASE_URL_VARIABLE, TaskPlace, Tasks};
use secrecy::SecretString;

#[derive(Debug, Args)]
#[group(id = "tasks")]
pub(super) struct Arguments {
    /// What the commands that are started here log in by, as DATABASE_URL: maintain and verify --repair need the owner's
    /// rights, which the console does not have [default: the console's own].
    #[arg(long, value_name = "URL", env = COMMANDS_DATABASE_URL_VARIABLE, hide_env_values = true)]
    commands_database_url: Option<SecretString>,
    /// Run the commands that are started here as one-off tasks of ECS, in place of processes beside the console: the task's
    /// definition.
    #[arg(long, value_name = "ARN", env = "USER_SYNC_TASK_DEFINITION", requires_all = ["task_cluster", "task_subnets"])]
    task_definition: Option<String>,
    /// With --task-definition: the cluster.
    #[arg(long, value_name = "ARN", env = "USER_SYNC_TASK_CLUSTER")]
    task_cluster: Option<String>,
    /// With --task-definition: its subnets, with commas between them.
    #[arg(long, value_name = "ID,ID", env = "USER_SYNC_TASK_SUBNETS", value_delimiter = ',')]
    task_subnets: Vec<String>,
    /// With --task-definition: its security groups, with commas between them.
    #[arg(long, value_name = "ID,ID", env = "USER_SYNC_TASK_SECURITY_GROUPS", value_delimiter = ',')]
    task_security_groups: Vec<String>,
    /// With --task-definition: give it an address of the internet's, as in subnets without a NAT gateway.
    #[arg(long, env = "USER_SYNC_TASK_PUBLIC_IP")]
    task_public_ip: bool,
}

impl Arguments {
    /// The same, as the console takes it.
    pub(super) fn tasks(self) -> Tasks {
        let place = |definition| {
            Some(TaskPlace {
                task_definition: definition,
                cluster: self.task_cluster?,
                subnets: self.task_subnets,
                security_groups: self.task_security_groups,
                has_public_ip: self.task_public_ip,
            })
        };
        Tasks { database_url: self.commands_database_url, place: self.task_definition.and_then(place) }
    }
}
