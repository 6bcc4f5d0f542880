#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fdfs_core::fuzzing::binlog(bytes));
