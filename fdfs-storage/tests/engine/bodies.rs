//! Bodies of requests, right or wrong.

use crate::support::GROUP;

pub fn group(name: &str) -> Vec<u8> {
    field(name.as_bytes(), 16)
}

fn field(text: &[u8], width: usize) -> Vec<u8> {
    let mut field = text.to_vec();
    field.resize(width, 0);
    field
}

pub fn name(name: &str) -> Vec<u8> {
    [group(GROUP), name.into()].concat()
}

pub fn upload(path: u8, ext: &str, content: &[u8]) -> Vec<u8> {
    upload_saying(path, content.len() as i64, ext, content)
}

pub fn upload_saying(path: u8, size: i64, ext: &str, content: &[u8]) -> Vec<u8> {
    [&[path], &size.to_be_bytes()[..], &field(ext.as_bytes(), 6), content].concat()
}

pub fn slave(master: &str, prefix: &str, ext: &str, content: &[u8]) -> Vec<u8> {
    let (prefix, ext) = (field(prefix.as_bytes(), 16), field(ext.as_bytes(), 6));
    let (len, size) = ((master.len() as i64).to_be_bytes(), (content.len() as i64).to_be_bytes());
    [&len[..], &size, &prefix, &ext, master.as_bytes(), content].concat()
}

pub fn download(file: &str, offset: i64, count: i64) -> Vec<u8> {
    [&offset.to_be_bytes()[..], &count.to_be_bytes(), &name(file)].concat()
}

pub fn metadata(file: &str, flag: u8, text: &[u8]) -> Vec<u8> {
    let (len, size) = ((file.len() as i64).to_be_bytes(), (text.len() as i64).to_be_bytes());
    [&len[..], &size, &[flag], &group(GROUP), file.as_bytes(), text].concat()
}
