//! `fastdfs_upload` and its relatives.

use core::ffi::{c_char, c_void};

use fdfs_core::ident::GroupName;
use ngx::ffi::*;

use crate::conf::{self, LocationConf, argument, complain};
use crate::directives::{self, own};
use crate::guard::guard;
use crate::nginx::{self, CONF_ERROR, CONF_OK};

/// What a location lets clients change. Not inherited by other locations.
#[derive(Debug, Clone, Default)]
pub struct Rights {
    /// `fastdfs_upload on`: PUT and POST make files.
    pub upload: bool,
    /// `fastdfs_delete on`: DELETE takes the file away that the URL names.
    pub delete: bool,
    /// `fastdfs_upload_buffering on`: a storage is asked when the body is there as a whole.
    pub buffering: bool,
    /// `fastdfs_upload_group`; without it the tracker chooses.
    pub group: Option<GroupName>,
    /// `fastdfs_upload_url`: what goes before an id in answers.
    pub url: String,
    /// `fastdfs_tus on`: uploads that can be resumed.
    pub tus: bool,
    /// `fastdfs_tus_key`: what URLs of such uploads are signed with.
    pub tus_key: String,
    /// `fastdfs_tus_max_size`: largest upload, bytes.
    pub tus_max: Option<u64>,
    seen: Vec<Vec<u8>>,
}

/// Sets one of them.
pub unsafe extern "C" fn set(
    cf: *mut ngx_conf_t,
    command: *mut ngx_command_t,
    conf: *mut c_void,
) -> *mut c_char {
    guard(CONF_ERROR, || {
        // SAFETY: nginx passes our `LocationConf`, the directive and its two arguments.
        unsafe {
            let location = &mut *conf.cast::<LocationConf>();
            let Some(rights) = own((*cf).pool, location.rights_mut()) else { return CONF_ERROR };
            let (name, Some(value)) = (nginx::bytes(&(*command).name), argument(cf, 1)) else {
                return CONF_ERROR;
            };
            if rights.seen.iter().any(|seen| seen == name) {
                return c"is duplicate".as_ptr().cast_mut();
            }
            rights.seen.push(name.to_vec());
            match rights.take(name, nginx::bytes(&value)) {
                Ok(()) => {}
                Err(why) => {
                    let name = String::from_utf8_lossy(name);
                    complain(cf, NGX_LOG_EMERG, &format!("{name}: {why}"));
                    return CONF_ERROR;
                }
            }
            if rights.any() {
                conf::handle_location(cf);
            }
            CONF_OK
        }
    })
}

impl Rights {
    /// Whether clients may change anything.
    pub fn any(&self) -> bool {
        self.upload || self.delete || self.tus
    }

    fn take(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let flag = || match value {
            b"on" => Ok(true),
            b"off" => Ok(false),
            _ => Err("expected on or off".to_owned()),
        };
        match name {
            b"fastdfs_upload" => self.upload = flag()?,
            b"fastdfs_delete" => self.delete = flag()?,
            b"fastdfs_tus" => self.tus = flag()?,
            b"fastdfs_tus_key" => self.tus_key = directives::read_key(value)?,
            b"fastdfs_tus_max_size" => self.tus_max = Some(size(value).ok_or("expected a size, as 10g")?),
            b"fastdfs_upload_buffering" => self.buffering = flag()?,
            b"fastdfs_upload_group" => {
                self.group = Some(GroupName::new(value).map_err(|bad| bad.to_string())?);
            }
            _ => {
                let url = std::str::from_utf8(value).map_err(|bad| bad.to_string())?;
                if url.chars().any(|c| c.is_control() || c == ' ') {
                    return Err("a URL has no blanks and no control characters".into());
                }
                url.clone_into(&mut self.url);
            }
        }
        Ok(())
    }
}

/// Bytes, with `k`, `m` or `g` behind the number.
fn size(text: &[u8]) -> Option<u64> {
    let (digits, unit) = match text.split_last()? {
        (b'k' | b'K', digits) => (digits, 1 << 10),
        (b'm' | b'M', digits) => (digits, 1 << 20),
        (b'g' | b'G', digits) => (digits, 1 << 30),
        _ => (text, 1),
    };
    std::str::from_utf8(digits).ok()?.parse::<u64>().ok()?.checked_mul(unit)
}
