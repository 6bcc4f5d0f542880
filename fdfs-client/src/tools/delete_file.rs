//! `fdfs_delete_file`: prints nothing.

use serde_json::json;

use super::{Ended, failure, with_client};
use crate::error::ClientError;
use crate::file_id::FileId;

pub(super) const USAGE: &str = "<config_file> <file_id>...";

pub(super) fn run(args: &[String]) -> Ended {
    let Some((conf, ids)) = args.split_first().filter(|(_, ids)| !ids.is_empty()) else {
        return Ended::Usage;
    };
    let done = with_client("delete file", conf, async |client| {
        let mut failed: Vec<(&String, ClientError)> = Vec::new();
        for id in ids {
            let deleted = async { client.delete(&id.parse::<FileId>()?).await };
            if let Err(error) = deleted.await {
                failed.push((id, error));
            }
        }
        Ok(failed)
    });
    let failed = match done {
        Ok(failed) => failed,
        Err(ended) => return ended,
    };
    let left: Vec<_> =
        failed.iter().map(|(id, error)| json!({ "id": id, "error_no": error.status().0 })).collect();
    let value = json!({ "deleted": ids.len() - failed.len(), "failed": left });
    let several = ids.len() > 1;
    let lines: Vec<_> = failed
        .iter()
        .map(|(id, error)| (id, failure("delete file", error)))
        .map(|(id, (line, code))| (if several { format!("{id}: {line}") } else { line }, code))
        .collect();
    match lines.first() {
        None => Ended::Said(String::new(), value),
        Some((_, code)) => {
            let code = *code;
            Ended::Partly(String::new(), value, lines.into_iter().map(|(line, _)| line).collect(), code)
        }
    }
}
