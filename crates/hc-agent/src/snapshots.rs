//! Snapshots of volumes by schedule.

use crate::agent::Agent;
use hc_runtime::volumes::{VolumeError, VolumeName, VolumeStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How often it is looked whether one is due; schedules are no finer than a minute.
const LOOK: Duration = Duration::from_secs(5);

/// Makes them when they are due, for as long as the agent lives. What is due is told by the
/// snapshots that are there: another agent goes on with the same schedule.
pub(crate) async fn keep(agent: Arc<Agent>) {
    let store = VolumeStore::new(&agent.config.state_dir, &agent.config.run_dir);
    // What was said before is not said at every look again.
    let mut said: BTreeMap<VolumeName, String> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        for (name, schedule) in agent.fleet.schedules() {
            let (store, volume) = (store.clone(), name.clone());
            let make = move || store.on_schedule(&volume, schedule.every_sec, schedule.keep);
            let Ok(made) = tokio::task::spawn_blocking(make).await else { continue };
            match made {
                Ok(Some(snapshot)) => {
                    tracing::info!(volume = %name, %snapshot, "made a snapshot");
                    said.remove(&name);
                }
                // One whose machine has not started yet.
                Ok(None) | Err(VolumeError::Missing(_)) => {}
                Err(error) => {
                    let text = error.to_string();
                    if said.get(&name) != Some(&text) {
                        tracing::warn!(volume = %name, error = %text, "cannot make a snapshot");
                        said.insert(name, text);
                    }
                }
            }
        }
    }
}
