//! `http.conf`, which `mod_fastdfs.conf` and `client.conf` include (storage 18, nginx-module 3).

use serde::Deserialize;

use super::check::Check;
use super::types::{Secs, port};
use crate::conf::{ConfError, GLOBAL, Nested};

/// Keys that start with `http.`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct HttpSettings {
    /// Default false: true switches tokens off.
    #[serde(rename = "http.disabled")]
    pub disabled: bool,
    /// Default 80. Accepted and not needed: redirects lead to the port of the request or of `fastdfs_redirect`.
    #[serde(rename = "http.server_port", deserialize_with = "port")]
    pub server_port: u16,
    /// Default true. Accepted and not needed: content types are nginx's.
    #[serde(rename = "http.need_find_content_type")]
    pub need_find_content_type: bool,
    /// Default true. Accepted and not needed: ranges are nginx's.
    #[serde(rename = "http.multi_range.enabled")]
    pub multi_range_enabled: bool,
    /// Apache-style table of content types, relative to the folder of the main file. Only used for
    /// [`Self::token_check_fail`], never required.
    #[serde(rename = "http.mime_types_filename")]
    pub mime_types_filename: Option<String>,
    /// Content type of names the table does not have. Never required.
    #[serde(rename = "http.default_content_type")]
    pub default_content_type: Option<String>,
    /// Default false: URLs need a token (protocol 6).
    #[serde(rename = "http.anti_steal.check_token")]
    pub check_token: bool,
    /// Seconds, default 600: age of a token that is still good.
    #[serde(rename = "http.anti_steal.token_ttl")]
    pub token_ttl: Secs,
    /// What tokens are made with; required when they are checked. May hold `#`.
    #[serde(rename = "http.anti_steal.secret_key")]
    pub secret_key: Option<String>,
    /// File whose content is the answer to a bad token; without it the answer is a bare 400.
    #[serde(rename = "http.anti_steal.token_check_fail")]
    pub token_check_fail: Option<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            disabled: false,
            server_port: 80,
            need_find_content_type: true,
            multi_range_enabled: true,
            mime_types_filename: None,
            default_content_type: None,
            check_token: false,
            token_ttl: Secs(600),
            secret_key: None,
            token_check_fail: None,
        }
    }
}

impl HttpSettings {
    /// Whether requests need a token.
    pub const fn tokens(&self) -> bool {
        self.check_token && !self.disabled
    }
}

/// Field name of [`HttpSettings`] in the settings of a program.
pub(super) const HTTP: Nested = Nested::Global("http");

impl Check<'_> {
    /// What tokens need.
    pub fn http(&self, http: &HttpSettings) -> Result<(), ConfError> {
        if !http.tokens() {
            return Ok(());
        }
        if http.secret_key.is_none() {
            return Err(self.bad(
                GLOBAL,
                "http.anti_steal.secret_key",
                "the secret that tokens are made with, because http.anti_steal.check_token is true",
            ));
        }
        self.positive("http.anti_steal.token_ttl", http.token_ttl.0, "2147483647 (seconds)")
    }
}
