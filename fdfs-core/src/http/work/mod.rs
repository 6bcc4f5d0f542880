//! Files that clients bring: what the module does for PUT, POST and DELETE (protocol 3.3, 3.4, 4.2 and 4.3).

mod answer;
mod errand;
mod form;
mod tus;

pub use answer::{Stored, stored_json};
pub use errand::{Ask, Broken, Done, Errand, Failure, Goal, Named, Step};
pub use form::{BadForm, Form, FormEvent};
pub use tus::{
    BadTus, TUS_EXTENSIONS, TUS_VERSION, TusHead, TusMethod, TusUpload, TusWish, tus_url, tus_wish,
};
