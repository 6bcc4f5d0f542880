//! A storage on a simulated machine: all of it but what only an operator switches on (scrub, compression, the index of equal
//! content, metrics), in the tasks of one thread.

use std::sync::Arc;

use fdfs_core::settings::StorageSettings;
use fdfs_net::daemon::Refusal;
use fdfs_net::{CancellationToken, Server, ServerConf};

use crate::link::{self, Answers, Bootstrap};
use crate::parts;
use crate::service::StorageService;
use crate::start::{self, Opened};
use crate::storage::{Storage, now};

/// Serves until `stop`; `begun` is told of the storage when it begins.
pub async fn run(
    settings: StorageSettings,
    stop: CancellationToken,
    begun: impl FnOnce(&Arc<Storage>),
) -> Result<(), Refusal> {
    let up_time = now();
    let mut conf = ServerConf::new(start::listen(&settings)?);
    conf.network_timeout = settings.client_timeout();
    conf.buff_size = settings.buffer();
    let bound = Server::bind(conf).map_err(|error| Refusal::io("network", &error))?;
    let opened = Opened::open(&settings, up_time)?;
    let (trackers, _) = link::resolve(&settings);
    let kept = Answers::load(&opened.data, &settings);
    let found = Bootstrap::ask(&settings, &trackers, up_time, kept.clone()).await;
    let found = found.map_err(|text| Refusal::new(2, text))?;
    let storage = opened.storage(settings, found, kept.as_ref())?;
    begun(&storage);
    let parts = parts::start(&storage, &trackers, &stop)?;
    let served = bound.run(Arc::new(StorageService(Arc::clone(&storage))), stop.clone()).await;
    stop.cancel();
    for part in parts {
        part.ended()
            .await
            .ok_or_else(|| Refusal::new(1, "a task panicked"))?
            .map_err(|error| Refusal::io("a part", &error))?;
    }
    storage.save_stat().map_err(|error| Refusal::io("counters", &error))?;
    served.map_err(|error| Refusal::io("network", &error))
}
