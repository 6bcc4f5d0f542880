//! Config files: the ini-like form of the existing daemons with all its habits, and TOML.
//!
//! [`load`] reads a file into an [`Ini`], in which every value knows its file and line; [`read`] turns that
//! into a settings struct. Source: tracker 9.1, storage 2.1.

mod condition;
mod de;
mod env;
mod error;
mod ini;
mod load;
mod parse;
mod preprocess;
mod toml_form;
mod unknown;
mod value;

pub(crate) use de::{GROUP, WORD, name_of};
pub use de::{Nested, Rules, read, read_section};
pub use env::{Env, address_class};
pub use error::{BadValue, ConfError, Origin, Severity, Warning};
pub use ini::{Entry, GLOBAL, Ini, Section};
pub(crate) use load::read_text;
pub use load::{is_toml, load};
pub use parse::{Included, MAX_KEY, MAX_VALUE, Resolver, parse};
pub use toml_form::parse as parse_toml;
pub(crate) use value::comment_dropped;
pub use value::{parse_bool, parse_int, parse_percent, parse_size, parse_time, without_comment};

#[cfg(test)]
mod tests;
