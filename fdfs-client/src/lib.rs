//! A FastDFS client: asks trackers for storages and storages for files.
//!
//! [`Client`] works on any tokio runtime. Every wait is bounded; a tracker that does not answer is stepped over and asked
//! last for a while; reads go on at another storage of the group. [`tools`] are the command-line programs.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use fdfs_client::{Client, FileId};
//!
//! let client = Client::connect(&["192.168.1.209:22122".parse()?, "192.168.1.210:22122".parse()?])?;
//! let id = client.upload_file("picture.jpg".as_ref()).await?;
//! println!("http://192.168.1.200/{id}");
//! let again: FileId = id.to_string().parse()?;
//! client.download_to(&again, "copy.jpg".as_ref(), 0, 0, None).await?;
//! # Ok(()) }
//! ```

mod client;
mod download;
mod edit;
mod error;
mod file_id;
mod lists;
mod pool;
pub mod tools;
mod trackers;
mod upload;
mod work;

pub use client::{Client, Target};
pub use error::{ClientError, ErrorKind};
pub use fdfs_core::settings::OnTimeout;
pub use fdfs_core::wire::MinCopies;
pub use file_id::FileId;
pub use upload::{Content, Progress, UploadOptions, spool};
