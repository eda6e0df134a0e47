//! Reaching the agent, or being one for the length of a command.

use crate::Context;
use heyho_agent::{Agent, StartOptions, Started, start_or_join};
use heyho_local::clock;
use heyho_local::socket::Client;
use heyho_local::vocabulary::{Companion, Fault, FaultCode, Request, VERSION};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// A connection to the agent; the agent itself where none was running.
pub struct Link {
    pub companion: Arc<dyn Companion>,
    agent: Option<Agent>,
}

impl Link {
    /// With `first_run`, an agent that begins here syncs at once by itself.
    pub async fn join(context: &Context, first_run: bool) -> Result<Link, Fault> {
        let (_, started) = start(context, first_run).await?;
        // Whoever was stopped still has its socket: it would be waited for without end.
        if started.agent.is_none() && !answers(started.companion.as_ref(), LONGER).await {
            let text = "another companion is running and does not answer: quit it, or end its process, and try again";
            return Err(Fault::new(FaultCode::TryLater, text));
        }
        Ok(Link { companion: started.companion, agent: started.agent })
    }

    pub fn is_agent(&self) -> bool {
        self.agent.is_some()
    }

    pub async fn call(&self, request: Request) -> Result<serde_json::Value, Fault> {
        self.companion.call(request).await
    }

    /// What was begun is ended properly, whether the command went well or not.
    pub async fn end(self) {
        if let Some(agent) = self.agent {
            agent.shutdown().await;
        }
    }
}

/// Becomes the agent, or joins the one there is; and by what.
pub async fn start(context: &Context, first_run: bool) -> Result<(StartOptions, Started), Fault> {
    let options = StartOptions {
        paths: context.paths.clone(),
        config: context.config.clone(),
        clock: clock::system(),
        open: None,
        surroundings: None,
        first_run,
    };
    let started = start_or_join(options.clone())
        .await
        .map_err(|e| Fault::new(FaultCode::Failed, format!("the companion cannot start: {e}")))?;
    Ok((options, started))
}

/// An agent that does not answer within this (it was stopped, or hangs) is treated as absent.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where the command cannot do without it.
const LONGER: Duration = Duration::from_secs(10);

/// The agent that is running, if one is and answers.
pub async fn running(context: &Context) -> Option<Client> {
    let client = Client::connect(&context.paths.socket()).await.ok()?;
    answers(&client, PATIENCE).await.then_some(client)
}

async fn answers(companion: &dyn Companion, within: Duration) -> bool {
    let hello = Request::Hello { version: VERSION, program: "heyho".to_owned() };
    matches!(timeout(within, companion.call(hello)).await, Ok(Ok(_)))
}

/// Tells the agent, if there is one, that the buffer has changed.
pub async fn nudge(context: &Context) {
    if let Some(client) = running(context).await {
        let _ = timeout(PATIENCE, client.call(Request::Nudge)).await;
    }
}

/// Asks the agent, if there is one, to sync now.
pub async fn request_sync(context: &Context) {
    if let Some(client) = running(context).await {
        let _ = timeout(PATIENCE, client.call(Request::Sync { wait: false })).await;
    }
}
