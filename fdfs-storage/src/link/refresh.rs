//! Parameters that have changed while this storage runs.

use std::sync::Arc;

use fdfs_core::wire::cmd;
use fdfs_net::{CallError, Peer};

use super::answers::Answers;
use super::bootstrap::{all_ids, own_ips};
use crate::identity::Params;
use crate::storage::Storage;

/// Asks for the parameters again, on a new conversation. What cannot change in the life of a process is told, not taken.
pub(super) async fn refresh(storage: &Arc<Storage>, tracker: &mut Peer) -> Result<(), CallError> {
    let Some(said) = storage.said.load_full() else { return Ok(()) };
    let text = tracker.ask(cmd::PARAMETER_REQ, b"", 4096).await?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let (asked, own) = (Params::parse(&text), storage.params.load_full());
    if (asked.use_storage_id, asked.id_in_names) != (own.use_storage_id, own.id_in_names) {
        tracing::warn!(tracker = %tracker.addr(), "use_storage_id or id_type_in_filename differ from what they were at start: a restart is needed");
        return Ok(());
    }
    let ids = if own.use_storage_id { all_ids(tracker).await? } else { String::new() };
    if !own.use_storage_id {
        let ips = own_ips(tracker, said.group, said.port).await?;
        if !ips.iter().any(|ip| said.ips.contains(ip)) {
            tracing::warn!(?ips, known = ?said.ips, "a tracker sees this storage at another address: restart it if the address has changed");
        }
    }
    let next = Answers { params: text, ids, ..(*said).clone() };
    if next == *said {
        return Ok(());
    }
    match next.params() {
        Err(error) => tracing::error!("the parameters of the tracker are not taken: {error}"),
        Ok(params) => {
            tracing::info!(tracker = %tracker.addr(), ?params.reserve, params.store_path, "the parameters of the trackers have changed");
            storage.params.store(Arc::new(params));
            let data = storage.data_dir();
            let kept = next.clone();
            storage.said.store(Some(Arc::new(next)));
            if let Err(error) = fdfs_net::blocking(move || kept.save(&data)).await {
                tracing::error!("{error}");
            }
        }
    }
    Ok(())
}
