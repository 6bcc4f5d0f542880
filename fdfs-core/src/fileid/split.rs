//! `group/Mpp/…` into its two parts.

use crate::ident::{BadIdent, GroupName};

/// Splits a file id at its first slash.
pub fn split_id(id: &str) -> Result<(GroupName, &str), BadIdent> {
    let (group, name) = id.split_once('/').ok_or(BadIdent::Group)?;
    Ok((GroupName::new(group.as_bytes())?, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_ends_at_the_first_slash() {
        let (group, name) = split_id("group1/M00/00/00/x").unwrap();
        assert_eq!((group.as_str(), name), ("group1", "M00/00/00/x"));
        assert!(split_id("group1").is_err());
        assert!(split_id("/M00/00/00/x").is_err());
    }
}
