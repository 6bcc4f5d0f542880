//! A new file gets its name: record first, then the name; with `durability = group` after its content is on the disk.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use fdfs_core::binlog::Op;
use fdfs_core::fileid::FileName;

use crate::binlog::Pending;
use crate::disk::{NewFile, Use};
use crate::stages::{Stage, Stages};
use crate::storage::Storage;

/// Names that are tried when one exists already.
const TRIES: usize = 10;

/// How names are made for a new file.
pub enum Naming<F> {
    /// This name or none.
    Exactly(FileName),
    /// From the modification time of the file; another one when there is a file of that name.
    Made(F),
}

/// Logs a new file of a client as created and shows it. `EXIST` when there is one of that name. When an error comes
/// back, the file may still appear if its disk hangs; then it is whole and logged.
pub async fn publish(
    storage: &Arc<Storage>,
    mut file: NewFile,
    naming: Naming<impl FnMut(&Storage, i64) -> FileName + Send + 'static>,
) -> io::Result<FileName> {
    let path = file.path();
    let stages = storage.stages.as_ref();
    Stages::time(stages, Stage::Commit, storage.durable.content(path)).await?;
    let record = Record::default();
    let (held, worker) = (record.0.clone(), Arc::clone(storage));
    let publishing = move || {
        let mtime = file.mtime()?;
        let (mut make, tries) = match naming {
            Naming::Exactly(name) => (Make::Same(name), 1),
            Naming::Made(make) => (Make::New(make), TRIES),
        };
        for _ in 0..tries {
            let name = match &mut make {
                Make::Same(name) => *name,
                Make::New(make) => make(&worker, mtime),
            };
            let pending = worker.log(mtime, Op::Create, &name, None)?;
            if pending.time() != mtime {
                file.set_mtime(pending.time())?;
            }
            held.hold(pending);
            match file.publish(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                done => done?,
            }
            if held.is_given_up() {
                // Replication has passed the first record when there was no file.
                worker.log(mtime, Op::Create, &name, None)?.settle();
            }
            return Ok(name);
        }
        Err(rustix::io::Errno::EXIST.into())
    };
    let publishing = storage.paths.run(path, Use::Write, move |_| publishing());
    let name = Stages::time(stages, Stage::Publish, publishing).await?;
    Stages::time(stages, Stage::Commit, storage.durable.commit(path)).await?;
    drop(record);
    Ok(name)
}

enum Make<F> {
    Same(FileName),
    New(F),
}

/// The record of a file that waits for its name. Dropped, the record is settled and the wait given up: a disk that hangs
/// must not hold up the replication of the others.
#[derive(Default)]
struct Record(Arc<Held>);

#[derive(Default)]
struct Held(Mutex<(Option<Pending>, bool)>);

impl Held {
    fn hold(&self, pending: Pending) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !held.1 {
            // The record of a name that was taken is settled here.
            held.0 = Some(pending);
        }
    }

    fn is_given_up(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let mut held = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        (held.0, held.1) = (None, true);
    }
}
