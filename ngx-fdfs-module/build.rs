//! Compiles `flags.c` against the headers of nginx that `nginx-sys` has found.

#![allow(clippy::expect_used)] // A failing build script fails the build.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=src/flags.c");
    let includes = env::var("DEP_NGINX_INCLUDE").expect("nginx-sys says where nginx's headers are");
    // nginx-sys 0.5.0 gives its `cflags` under this key.
    let cflags = env::var("DEP_NGINX_METADATA").unwrap_or_default();
    let defines = cflags.strip_prefix("cflags=").unwrap_or_default();
    let mut build = cc::Build::new();
    build.includes(env::split_paths(&includes)).file("src/flags.c").warnings(false);
    for define in defines.split_whitespace() {
        build.flag(define);
    }
    build.compile("fdfs_flags");
}
